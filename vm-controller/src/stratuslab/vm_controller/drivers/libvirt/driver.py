"""The hypervisor port on libvirt with QEMU.

Owns the connection and the event feed; what is done with libvirt is in `operations`, one
blocking function for each method. Guests live in libvirt and QEMU, never in this process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog

from stratuslab.core.errors import ConfigurationError
from stratuslab.vm_controller.drivers.base import (
    Domain,
    DomainEvent,
    DomainMark,
    DomainSpec,
    HostFacts,
    HypervisorUnavailable,
)
from stratuslab.vm_controller.drivers.libvirt import operations
from stratuslab.vm_controller.drivers.libvirt.connection import LibvirtConnection
from stratuslab.vm_controller.drivers.libvirt.console import log_tail
from stratuslab.vm_controller.drivers.libvirt.domain_state import (
    SHUTDOWN_BY_HOST,
    LifecycleEvent,
    event_name,
)
from stratuslab.vm_controller.drivers.libvirt.domain_xml import console_log
from stratuslab.vm_controller.drivers.libvirt.event_feed import EventFeed
from stratuslab.vm_controller.drivers.libvirt.operations import Observer
from stratuslab.vm_controller.drivers.libvirt.probe import domain_type as probed_domain_type
from stratuslab.vm_controller.host_boot import host_boot_id

log = structlog.get_logger(__name__)

T = TypeVar("T")

SUPPORTED_ARCHITECTURE = "x86_64"


class LibvirtHypervisor:
    """Implements `drivers.base.Hypervisor`.

    `domain_type` is `auto`, `kvm` or `qemu`; `boot_id` names the span in which guests can have
    kept running (that of a private instance, else the host's boot). Entering raises
    ConfigurationError without libvirt-python, HypervisorUnavailable when libvirt stays away.
    """

    def __init__(
        self,
        uri: str,
        *,
        domain_type: str = "auto",
        boot_id: str | None = None,
        workers: int = 8,
        call_timeout_seconds: float = 30.0,
        start_timeout_seconds: float = 120.0,
        open_timeout_seconds: float = 15.0,
    ) -> None:
        self.domain_type = probed_domain_type(domain_type)
        self._observer = Observer(boot_id or host_boot_id())
        self._slow_timeout_seconds = start_timeout_seconds
        self._feed = EventFeed()
        self.connection = LibvirtConnection(
            uri,
            on_lifecycle=self._on_lifecycle,
            on_restored=self._on_restored,
            workers=workers,
            call_timeout_seconds=call_timeout_seconds,
            open_timeout_seconds=open_timeout_seconds,
        )

    async def __aenter__(self) -> Self:
        await self.connection.__aenter__()
        try:
            arch = (await self.facts()).cpu_arch
            if arch != SUPPORTED_ARCHITECTURE:
                raise ConfigurationError(
                    f"The libvirt driver cannot define guests for {arch} hosts.",
                    hint=f"Use a {SUPPORTED_ARCHITECTURE} host, or the simulated hypervisor.",
                )
        except BaseException:
            await self.connection.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._feed.close()
        await self.connection.__aexit__(exc_type, exc, traceback)

    async def facts(self) -> HostFacts:
        """What this host offers."""
        kind, boot_id = self.domain_type, self._observer.boot_id
        return await self._call("Reading the host", lambda c: operations.facts(c, kind, boot_id))

    async def list_domains(self) -> list[Domain]:
        """All domains on the host, the foreign ones included."""
        return await self._call(
            "Listing domains", lambda c: operations.list_domains(c, self._observer)
        )

    async def find(self, id: str) -> Domain | None:
        """The domain with this UUID, None when the host has none."""
        return await self._call(f"Finding {id}", lambda c: operations.find(c, self._observer, id))

    async def start(self, spec: DomainSpec) -> Domain:
        """Define if needed, write the mark, make it run."""
        try:
            spec.console_log.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HypervisorUnavailable(
                f"The folder of {spec.name}'s console log cannot be made: {error}."
            ) from error
        return await self._call_slow(
            f"Starting {spec.name}",
            lambda c: operations.start(c, self._observer, spec, self.domain_type),
        )

    async def pause(self, id: str, mark: DomainMark) -> Domain:
        """Stop the processors, keep the memory."""
        return await self._call(
            f"Pausing {id}", lambda c: operations.pause(c, self._observer, id, mark)
        )

    async def suspend(self, id: str, mark: DomainMark) -> Domain:
        """Save memory to disk and stop."""
        return await self._call_slow(
            f"Suspending {id}", lambda c: operations.suspend(c, self._observer, id, mark)
        )

    async def shutdown(self, id: str, mark: DomainMark) -> Domain:
        """Press the power button."""
        return await self._call(
            f"Shutting down {id}", lambda c: operations.shutdown(c, self._observer, id, mark)
        )

    async def stop(self, id: str, mark: DomainMark) -> Domain:
        """Cut the power, discard saved memory."""
        return await self._call_slow(
            f"Stopping {id}", lambda c: operations.stop(c, self._observer, id, mark)
        )

    async def mark(self, id: str, mark: DomainMark) -> None:
        """Only write the mark."""
        await self._call(f"Marking {id}", lambda c: operations.write_mark(c, id, mark))

    async def remove(self, id: str) -> None:
        """Cut the power and forget the domain with its saved memory."""
        await self._call_slow(f"Removing {id}", lambda c: operations.remove(c, self._observer, id))

    async def console(self, id: str, max_bytes: int) -> bytes:
        """The end of the serial console's log, older parts that were rotated away included."""

        def read(connection: Any) -> bytes:
            definition = operations.definition(connection, id)
            file = None if definition is None else console_log(definition)
            return b"" if file is None else log_tail(file, max_bytes)

        return await self._call(f"Reading the console of {id}", read)

    async def address(self, id: str) -> str | None:
        """The address leased by a libvirt network."""
        return await self._call(
            f"Finding the address of {id}", lambda c: operations.leased_address(c, id)
        )

    def events(self) -> AsyncIterator[DomainEvent]:
        """Life-cycle events from this call on."""
        return self._feed.listen()

    async def _call(self, what: str, work: Callable[[Any], T]) -> T:
        return await self.connection.call(what, work)

    async def _call_slow(self, what: str, work: Callable[[Any], T]) -> T:
        return await self.connection.call(what, work, self._slow_timeout_seconds)

    def _on_lifecycle(self, id: str, event: int, detail: int) -> None:
        if event == LifecycleEvent.SHUTDOWN and detail == SHUTDOWN_BY_HOST:
            self._observer.ended_by_host.add(id)
        elif event == LifecycleEvent.STARTED:
            self._observer.ended_by_host.discard(id)
        self._feed.publish(DomainEvent(id=id, what=event_name(event)))

    def _on_restored(self) -> None:
        self._feed.publish(DomainEvent(id=None, what="reconnected"))
