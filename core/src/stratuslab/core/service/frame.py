"""What the body of a service gets: settings, store, bus, vault, checks, background work.

Owns the life of one service inside a process: background tasks, health port, readiness. Knows
nothing of signals, exit codes or the process; `runner` does. Several services may live in one
process, for tests:

    async with Service("vm-agent", AgentSettings(), CommonSettings(store="memory:")) as service:
        service.spawn(run_agent(service), "body")
        …
        service.stop()
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from stratuslab.core.bus.base import Bus
from stratuslab.core.errors import ConfigurationError, Unavailable
from stratuslab.core.service.loop_lag import LoopLag
from stratuslab.core.service.readiness import Readiness
from stratuslab.core.service.store_address import store_address
from stratuslab.core.settings import CommonSettings, Settings
from stratuslab.core.store.base import Store

if TYPE_CHECKING:
    from stratuslab.core.security.vault import Vault

S = TypeVar("S", bound=Settings)

OPS_SHUTDOWN_SECONDS = 0.5


class Service(Generic[S]):
    """One service from entering to leaving `async with`.

    Entering raises ConfigurationError when the health port cannot be had.
    """

    def __init__(self, name: str, settings: S, common: CommonSettings) -> None:
        self.name = name
        self.settings = settings
        self.common = common
        self.tasks = asyncio.TaskGroup()
        """Work that the service waits for at its end. A task that fails ends the service."""
        self.stopping = asyncio.Event()
        """Set when the service was told to stop: finish what is begun, begin nothing."""
        self.hurrying = asyncio.Event()
        """Set when it was told twice: its body is cancelled at once."""
        self.readiness = Readiness(name)
        self.ops_address = ""
        """Where health and metrics are served; empty when nowhere."""
        self._background: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        lag = LoopLag()
        async with AsyncExitStack() as stack:
            self.ops_address = await stack.enter_async_context(_ops_port(self, lag))
            await stack.enter_async_context(self.tasks)
            stack.callback(self._end_background)
            self.spawn(lag.measure(), "loop-lag")
            self.spawn(self.readiness.watch(), "readiness")
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        await self._stack.__aexit__(kind, error, traceback)

    def stop(self) -> None:
        """Tells the service to stop; a second time: to stop at once."""
        if self.stopping.is_set():
            self.hurrying.set()
        self.stopping.set()
        self.readiness.stopping()

    async def until_stopped(self) -> None:
        """Waits for the order to stop. Calling it says: from now on the service does its work;
        before that `/readyz` answers that it is starting."""
        self.readiness.started()
        await self.stopping.wait()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Background work for the life of the service; cancelled at its end."""
        task = self.tasks.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    def check(self, name: str, check: Callable[[], Awaitable[object]]) -> None:
        """The service is ready only while this does not raise."""
        self.readiness.add(name, check)

    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[Store]:
        """The store of the settings, watched by readiness. Raises ConfigurationError."""
        from stratuslab.core.store.open import open_store

        address = await store_address(self.common.store)
        patience_seconds = self.common.store_wait_seconds
        async with open_store(address, patience_seconds=patience_seconds) as store:

            async def answers() -> None:
                await store.identity()
                # A write without effect: reading may go on while nobody is there to write.
                await store.published(0)

            with self.readiness.checking("store", answers):
                yield store

    @asynccontextmanager
    async def open_bus(self) -> AsyncIterator[Bus]:
        """The bus of the settings, watched by readiness. Raises ConfigurationError."""
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

            with self.readiness.checking("bus", connected):
                yield bus

    def open_vault(self) -> Vault:
        """The vault of the settings. Raises ConfigurationError."""
        from stratuslab.core.security.vault import open_vault

        return open_vault(self.common.vault_key_file, key=self.common.vault_key)

    def _end_background(self) -> None:
        for task in self._background:
            task.cancel()


@asynccontextmanager
async def _ops_port(service: Service[Any], lag: LoopLag) -> AsyncIterator[str]:
    """Health and metrics, where the settings say; the address is left in a file."""
    common = service.common
    if not common.ops_listen:
        yield ""
        return
    from stratuslab.core.service.handlers import ops_application, serve

    app = ops_application(service.readiness, lag)
    async with serve(app, common.ops_listen, shutdown_seconds=OPS_SHUTDOWN_SECONDS) as address:
        with _left_in(common.ops_address_file, address):
            yield address


class _left_in:  # noqa: N801 - reads as the function it stands for
    """An address file that exists while the address is served. Raises ConfigurationError."""

    def __init__(self, path: str, address: str) -> None:
        self._path = Path(path) if path else None
        self._address = address

    def __enter__(self) -> None:
        if self._path is None:
            return
        draft = self._path.with_name(self._path.name + ".new")
        try:
            draft.write_text(self._address)
            draft.replace(self._path)
        except OSError as error:
            raise ConfigurationError(
                f"The address cannot be written to {self._path}: {error.strerror}.",
                hint="Choose another ops_address_file, or leave it empty.",
            ) from error

    def __exit__(self, *_error: object) -> None:
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()
