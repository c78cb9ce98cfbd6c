"""Runs a service: settings, loop, logs, signals, health, drain.

    async def body(service: Service[AgentSettings]) -> None:
        async with service.open_store() as store, service.open_bus() as bus:
            …
            await service.until_stopped()

    def main() -> None:
        run("vm-agent", AgentSettings, body)

SIGTERM or SIGINT sets `stopping`; the body should return, and is cancelled when `drain_seconds`
are over. Wrong settings are one clear line and exit status 2.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import structlog

from stratuslab.core.bus.base import Bus
from stratuslab.core.errors import ConfigurationError, Unavailable
from stratuslab.core.service.logging import configure
from stratuslab.core.service.readiness import Readiness
from stratuslab.core.settings import CommonSettings, Settings, load
from stratuslab.core.store.base import Store

log = structlog.get_logger()

S = TypeVar("S", bound=Settings)

CANCEL_SECONDS = 2.0
"""What a body gets to end once it was cancelled; after that the process ends without it."""


class Service(Generic[S]):
    """What the body of a service gets."""

    def __init__(
        self, name: str, settings: S, common: CommonSettings, tasks: asyncio.TaskGroup
    ) -> None:
        self.name = name
        self.settings = settings
        self.common = common
        self.tasks = tasks
        """Background work; a task that fails ends the service."""
        self.stopping = asyncio.Event()
        self.readiness = Readiness(name)
        self._started = False
        self.check("started", self._check_started)
        self._background: list[asyncio.Task[None]] = []

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Background work for the life of the service; cancelled at its end."""
        self._background.append(self.tasks.create_task(work, name=name))

    def check(self, name: str, check: Callable[[], Awaitable[object]]) -> None:
        """Readiness needs this not to raise."""
        self.readiness.add(name, check)

    async def until_stopped(self) -> None:
        """Tells that everything is in place, then waits for the order to stop."""
        self._started = True
        await self.stopping.wait()

    async def _check_started(self) -> None:
        if not self._started:
            raise Unavailable("The service is still starting.")

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[Store]:
        """The store of the settings, watched by readiness."""
        from stratuslab.core.store.open import open_store

        async with open_store(self.common.store) as store:
            self.check("store", store.identity)
            yield store

    @asynccontextmanager
    async def open_bus(self) -> AsyncIterator[Bus]:
        """The bus of the settings, watched by readiness."""
        from stratuslab.core.bus.open import open_bus

        credentials = self.common.bus_credentials_file
        async with open_bus(
            self.common.bus,
            name=self.name,
            credentials_file=Path(credentials) if credentials else None,
        ) as bus:

            async def connected() -> None:
                if not bus.connected:
                    raise Unavailable("The bus is not connected.")

            self.check("bus", connected)
            yield bus

    def end_background(self) -> None:
        """Cancels what `spawn` began."""
        for task in self._background:
            task.cancel()


Body = Callable[[Service[S]], Awaitable[None]]


def run(name: str, section: type[S], body: Body[S]) -> None:
    """Runs the service in this process and exits with its status."""
    try:
        common = load(CommonSettings, environ=os.environ).settings
        settings = load(section, environ=os.environ).settings
    except ConfigurationError as error:
        _exit_with_line(name, error)
    configure(common.log_level, common.log_format, name)
    try:
        with asyncio.Runner(loop_factory=_loop_factory(common.loop)) as runner:
            runner.run(_main(name, settings, common, body))
    except (Exception, BaseExceptionGroup) as failure:
        cause = _first(failure)
        if isinstance(cause, ConfigurationError):
            _exit_with_line(name, cause)
        log.error("service.failed", error=str(cause) or type(cause).__name__, exc_info=failure)
        sys.exit(1)


async def _main(name: str, settings: S, common: CommonSettings, body: Body[S]) -> None:
    async with asyncio.TaskGroup() as tasks:
        service = Service(name, settings, common, tasks)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, service.stopping.set)
        async with _ops(service):
            notify("READY=1")
            log.info("service.started", pid=os.getpid())
            await _until_drained(service, asyncio.create_task(_run(body, service)))
        notify("STOPPING=1")
        service.end_background()
    log.info("service.stopped")


async def _run(body: Body[S], service: Service[S]) -> None:
    await body(service)


async def _until_drained(service: Service[S], work: asyncio.Task[None]) -> None:
    """Waits for the body; after the order to stop no longer than the drain time."""
    stopped = asyncio.create_task(service.stopping.wait())
    try:
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            done, _ = await asyncio.wait({work}, timeout=service.common.drain_seconds)
            if not done:
                log.warning("service.drain-expired", seconds=service.common.drain_seconds)
                work.cancel()
                done, _ = await asyncio.wait({work}, timeout=CANCEL_SECONDS)
                if not done:
                    log.error("service.stuck")
                    os._exit(1)
        if not work.cancelled():
            work.result()
    finally:
        stopped.cancel()
        if not work.done():
            work.cancel()
            await asyncio.wait({work})


@asynccontextmanager
async def _ops(service: Service[S]) -> AsyncIterator[None]:
    listen = service.common.ops_listen
    if not listen:
        yield
        return
    from stratuslab.core.service.handlers import ops_application, serve

    async with serve(ops_application(service.readiness), listen, shutdown_seconds=0.5) as address:
        if service.common.ops_address_file:
            target = Path(service.common.ops_address_file)
            draft = target.with_suffix(".new")
            draft.write_text(address)
            draft.replace(target)
        yield


def notify(message: str) -> None:
    """Tells systemd, where it listens (sd_notify: one datagram)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.sendall(message.encode())


def _loop_factory(loop: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if loop == "asyncio":
        return None
    import uvloop

    return uvloop.new_event_loop


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _exit_with_line(name: str, error: BaseException) -> None:
    print(f"{name}: {error}", file=sys.stderr)
    sys.exit(2)
