"""Several services in one process, as tests want them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

import aiohttp
import pytest
from eventually import eventually

from stratuslab.core.errors import ConfigurationError, Unavailable
from stratuslab.core.service import Service
from stratuslab.core.service.runner import run_body
from stratuslab.core.service.store_address import store_address
from stratuslab.core.settings import CommonSettings, Settings


class LampSettings(Settings, frozen=True, kw_only=True):
    section: ClassVar[str] = "lamp"


def _service(name: str, **common: object) -> Service[LampSettings]:
    settings = CommonSettings(store="memory:", bus="memory:", **common)  # type: ignore[arg-type]
    return Service(name, LampSettings(), settings)


async def _body(service: Service[LampSettings]) -> None:
    async with service.open_store(), service.open_bus():
        await service.until_stopped()


async def test_services_live_side_by_side_and_leave_nothing_behind() -> None:
    before = asyncio.all_tasks()
    async with (
        _service("one", ops_listen="127.0.0.1:0") as one,
        _service("two", ops_listen="127.0.0.1:0") as two,
    ):
        assert one.ops_address != two.ops_address
        for service in (one, two):
            service.spawn(_body(service), "body")
        for service in (one, two):

            async def ready(service: Service[LampSettings] = service) -> bool:
                return (await service.readiness.report()).ready

            await eventually(ready)
        one.stop()
        assert (await one.readiness.report()).phase == "stopping"
        assert (await two.readiness.report()).ready
    assert asyncio.all_tasks() == before


async def test_a_service_is_not_ready_before_it_waits_for_its_end_nor_afterwards() -> None:
    async with _service("lamp") as service, service.open_store():
        assert not (await service.readiness.report()).ready
        waiting = service.spawn(service.until_stopped(), "body")
        await asyncio.sleep(0)
        assert (await service.readiness.report()).ready
        service.stop()
        report = await service.readiness.report()
        assert (report.ready, report.checks["store"].ok) == (False, True)
        await waiting


async def test_a_check_lasts_as_long_as_what_it_checks() -> None:
    async with _service("lamp") as service:
        async with service.open_store():
            assert set((await service.readiness.report()).checks) == {"store"}
        assert (await service.readiness.report()).checks == {}


async def test_a_check_that_hangs_counts_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stratuslab.core.service.readiness.CHECK_TIMEOUT_SECONDS", 0.05)

    async with _service("lamp") as service:
        service.check("slow", asyncio.Event().wait)
        checked = (await service.readiness.report()).checks["slow"]
        assert not checked.ok
        assert checked.error == "No answer within 0.05 seconds."


async def test_asking_often_checks_seldom() -> None:
    asked = 0

    async def check() -> None:
        nonlocal asked
        asked += 1

    async with _service("lamp") as service:
        service.check("counted", check)
        await asyncio.gather(*(service.readiness.report() for _ in range(100)))
        assert asked == 1


async def test_a_failed_background_task_fails_the_service() -> None:
    async def fail() -> None:
        raise Unavailable("gone")

    with pytest.raises(ExceptionGroup) as caught:
        async with _service("lamp") as service:
            service.spawn(fail(), "failing")
            await run_body(service, _body)
    assert caught.group_contains(Unavailable, match="gone")


async def test_the_errors_of_the_body_come_out() -> None:
    async def body(service: Service[LampSettings]) -> None:
        raise OSError("not about listening")

    with pytest.raises(ExceptionGroup) as caught:
        async with _service("lamp", ops_listen="127.0.0.1:0") as service:
            await run_body(service, body)
    assert caught.group_contains(OSError, match="not about listening")
    assert not caught.group_contains(ConfigurationError)


async def test_the_ops_port_may_be_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "ops.sock"
    for _ in range(2):
        async with _service("lamp", ops_listen=f"unix:{path}"):
            assert path.stat().st_mode & 0o777 == 0o600
            connector = aiohttp.UnixConnector(str(path))
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.get("http://lamp/healthz") as answer,
            ):
                assert answer.status == 200
        assert not path.exists()


async def test_an_address_file_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "absent" / "address"
    with pytest.raises(ConfigurationError, match="ops_address_file"):
        async with _service("lamp", ops_listen="127.0.0.1:0", ops_address_file=str(file)):
            raise AssertionError("never comes here")


async def test_a_couchbase_on_this_host_is_taken_when_nothing_else_is_known() -> None:
    assert await store_address("memory:") == "memory:"
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await store_address("", port=port) == "couchbase://127.0.0.1/default"
    with pytest.raises(ConfigurationError, match="No store is known"):
        await store_address("", port=port)
