"""A connection to libvirtd that comes back by itself and never blocks the asyncio loop.

Owns the bounded executor for libvirt's blocking calls, the timeout of each, reconnection with
backoff, and the event callbacks. It knows nothing of machines.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog

from stratuslab.vm_controller.drivers.base import HypervisorUnavailable
from stratuslab.vm_controller.drivers.libvirt.binding import libvirt
from stratuslab.vm_controller.drivers.libvirt.error_mapping import connection_lost, translated
from stratuslab.vm_controller.drivers.libvirt.event_loop import ensure_event_loop

log = structlog.get_logger(__name__)

T = TypeVar("T")

KEEPALIVE_INTERVAL_SECONDS = 3
KEEPALIVE_COUNT = 3
CLOSE_TIMEOUT_SECONDS = 5.0
FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 5.0

LifecycleCallback = Callable[[str, int, int], None]
"""Gets a domain's UUID, libvirt's lifecycle event and its detail, on the asyncio loop."""


class LibvirtConnection:
    """Use as `async with`; entering raises HypervisorUnavailable when libvirt stays away."""

    def __init__(
        self,
        uri: str,
        *,
        on_lifecycle: LifecycleCallback,
        on_restored: Callable[[], None],
        workers: int = 8,
        call_timeout_seconds: float = 30.0,
        open_timeout_seconds: float = 15.0,
    ) -> None:
        self.uri = uri
        self._on_lifecycle = on_lifecycle
        self._on_restored = on_restored
        self._call_timeout_seconds = call_timeout_seconds
        self._open_timeout_seconds = open_timeout_seconds
        self._connection: Any = None
        self._subscription = 0
        self._lost = asyncio.Event()
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="libvirt-call")
        self._tasks = asyncio.TaskGroup()
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        ensure_event_loop()
        try:
            async with asyncio.timeout(self._open_timeout_seconds):
                await self._open()
        except TimeoutError as error:
            self._executor.shutdown(wait=False, cancel_futures=True)
            raise HypervisorUnavailable(
                f"libvirt at {self.uri} did not answer in {self._open_timeout_seconds:g} s.",
                hint="Check that libvirtd runs and that this user may use it.",
            ) from error
        except BaseException:
            self._executor.shutdown(wait=False, cancel_futures=True)
            raise
        await self._tasks.__aenter__()
        self._keeper = self._tasks.create_task(self._keep_connected(), name="libvirt-keeper")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        try:
            await self._tasks.__aexit__(None, None, None)
            await self._close()
        finally:
            self._executor.shutdown(wait=False, cancel_futures=True)

    async def call(
        self, what: str, work: Callable[[Any], T], timeout_seconds: float | None = None
    ) -> T:
        """Run `work(virConnect)` in the executor; `what` is the subject of its errors."""
        connection = self._connection
        if connection is None:
            raise HypervisorUnavailable(
                f"{what}: the connection to libvirt at {self.uri} is lost.",
                hint="It is restored as soon as libvirtd answers; machines go on running.",
            )
        limit = self._call_timeout_seconds if timeout_seconds is None else timeout_seconds
        try:
            async with asyncio.timeout(limit):
                return await self._in_thread(lambda: work(connection))
        except TimeoutError as error:
            raise HypervisorUnavailable(
                f"{what}: libvirt did not answer within {limit:g} s.",
                hint="Check that libvirtd is not stuck; machines go on running meanwhile.",
            ) from error
        except libvirt.libvirtError as error:
            if connection_lost(error) and connection is self._connection:
                self._lost.set()
            raise translated(error, what) from error

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def _open(self) -> None:
        """Try until it works. One attempt at a time, however long libvirt leaves it hanging."""
        loop = asyncio.get_running_loop()
        self._lost.clear()
        for wait in _waits():
            try:
                self._connection = await self._in_thread(lambda: self._connect(loop))
            except libvirt.libvirtError as error:
                log.info("libvirt.not_reached", uri=self.uri, error=error.get_error_message())
                await asyncio.sleep(wait)
            else:
                break
        log.info("libvirt.connected", uri=self.uri)

    def _connect(self, loop: asyncio.AbstractEventLoop) -> Any:
        connection = libvirt.open(self.uri)
        connection.setKeepAlive(KEEPALIVE_INTERVAL_SECONDS, KEEPALIVE_COUNT)

        def on_lifecycle(_: Any, domain: Any, event: int, detail: int, __: Any) -> None:
            _on_loop(loop, self._on_lifecycle, domain.UUIDString(), event, detail)

        def on_close(_: Any, __: int, ___: Any) -> None:
            _on_loop(loop, self._lost.set)

        self._subscription = connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_lifecycle, None
        )
        connection.registerCloseCallback(on_close, None)
        return connection

    async def _keep_connected(self) -> None:
        while True:
            await self._lost.wait()
            log.warning("libvirt.connection_lost", uri=self.uri)
            await self._close()
            await self._open()
            self._on_restored()

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(TimeoutError, libvirt.libvirtError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._in_thread(lambda: _disconnect(connection, self._subscription))


def _disconnect(connection: Any, subscription: int) -> None:
    """Each callback holds a reference that would keep the connection's sockets open."""
    with suppress(libvirt.libvirtError):
        connection.domainEventDeregisterAny(subscription)
    with suppress(libvirt.libvirtError):
        connection.unregisterCloseCallback()
    connection.close()


def _waits() -> Iterator[float]:
    """Endless: doubling, up to a limit, with jitter so that agents do not come in step."""
    wait = FIRST_WAIT_SECONDS
    while True:
        yield wait * random.uniform(0.5, 1.0)  # noqa: S311
        wait = min(2 * wait, LONGEST_WAIT_SECONDS)


def _on_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: Any) -> None:
    with suppress(RuntimeError):  # the loop was closed: nobody is left to be told
        loop.call_soon_threadsafe(function, *args)
