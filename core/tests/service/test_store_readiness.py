"""A store that can still be read, but no longer be written, does not count as usable."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from eventually import eventually

from stratuslab.core.service import Service
from stratuslab.core.settings import CommonSettings, Settings
from stratuslab.core.store.sqlite import SqliteOwner


async def test_readiness_follows_the_owner_of_the_store(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    common = CommonSettings(store=f"sqlite:{folder}", store_wait_seconds=0.1)

    async with AsyncExitStack() as owners, Service("lamp", Settings(), common) as service:
        await owners.enter_async_context(SqliteOwner(folder))
        async with service.open_store() as store:

            async def usable() -> bool:
                return (await service.readiness.report()).checks["store"].ok

            async def unusable() -> bool:
                return not await usable()

            assert await usable()
            await owners.aclose()
            await eventually(unusable)
            assert "is not being served" in (await service.readiness.report()).checks["store"].error
            assert (await store.identity()).sequence == 0, "it can be read; checking wrote nothing"
            async with SqliteOwner(folder):
                await eventually(usable)
