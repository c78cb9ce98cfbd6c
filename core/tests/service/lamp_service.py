"""A small service that behaves as its first argument says; the runner's tests start it."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Annotated, ClassVar

import structlog

from stratuslab.core.errors import ConfigurationError, PermanentError
from stratuslab.core.service import Service, run
from stratuslab.core.settings import Setting, Settings

log = structlog.get_logger()


class LampSettings(Settings, frozen=True, kw_only=True):
    section: ClassVar[str] = "lamp"

    bulbs: Annotated[int, Setting("How many bulbs it has.", minimum=1)] = 1


async def obedient(service: Service[LampSettings]) -> None:
    async with service.open_store(), service.open_bus():
        await service.until_stopped()
        log.info("lamp.finishing")
        await asyncio.sleep(0.2)
        log.info("lamp.finished")


async def stubborn(service: Service[LampSettings]) -> None:
    await service.until_stopped()
    try:
        await asyncio.sleep(60)
    finally:
        log.info("lamp.cancelled")


async def deaf(service: Service[LampSettings]) -> None:
    await service.until_stopped()
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            log.info("lamp.deaf")


async def blocked(service: Service[LampSettings]) -> None:
    threading.Thread(target=threading.Event().wait).start()
    await service.until_stopped()


async def failing(service: Service[LampSettings]) -> None:
    async def short_circuit() -> None:
        await asyncio.sleep(0.05)
        raise ZeroDivisionError("no bulb")

    service.spawn(short_circuit(), "short circuit")
    await service.until_stopped()


async def given_up(service: Service[LampSettings]) -> None:
    raise PermanentError("The lamp is broken.", hint="Buy another one.")


async def misplaced(service: Service[LampSettings]) -> None:
    raise ConfigurationError("There is no\nlamp post.", hint="Build one.")


async def brief(service: Service[LampSettings]) -> None:
    log.info("lamp.flashed", bulbs=service.settings.bulbs)


async def unready(service: Service[LampSettings]) -> None:
    mended = asyncio.Event()

    async def check() -> None:
        if not mended.is_set():
            raise PermanentError("The bulb is broken.")

    async def mend() -> None:
        await asyncio.to_thread(sys.stdin.readline)
        mended.set()

    service.check("bulb", check)
    service.spawn(mend(), "mender")
    await service.until_stopped()


if __name__ == "__main__":
    run("lamp", LampSettings, globals()[sys.argv[1]])
