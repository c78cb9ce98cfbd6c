"""What the node agent may ask of a hypervisor: the port, its types and its errors.

Owns the `Hypervisor` Protocol that every driver implements and one conformance suite checks.
It must not know documents, the store or the bus: the agent translates between the two worlds.

Every call is idempotent: "already so" is success, so that a repeated or delayed call is harmless.
A domain carries a `DomainMark` in its own metadata; with it the state of a machine can be told
from the hypervisor alone, and a database that was emptied or rolled back can be recognised.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import msgspec

from stratuslab.core.errors import PermanentError, TransientError


class DomainState(StrEnum):
    """What the hypervisor says of a domain right now."""

    RUNNING = "running"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    """Its memory is saved on disk; the next start resumes it."""
    STOPPED = "stopped"


class StopReason(StrEnum):
    """Why a domain is not running; the restart policy depends on it."""

    GUEST = "guest"
    """The guest powered itself off."""
    REQUESTED = "requested"
    """The cloud asked for it (power button or power off)."""
    CRASH = "crash"
    HOST_REBOOT = "host-reboot"
    UNKNOWN = "unknown"


class DomainMark(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What the cloud writes into a domain's own metadata.

    `generation` and `restarts` are those of the machine document that was last carried out,
    `fence` the token under which it was assigned to this host, `boot_id` the host's boot
    (of a private libvirt instance: of that instance) in which the domain was last started,
    `stopping` that the cloud, not the guest, asked for the end that may follow.
    """

    cloud_id: str
    generation: int
    fence: int
    restarts: int = 0
    boot_id: str = ""
    stopping: bool = False


class Domain(msgspec.Struct, frozen=True, kw_only=True):
    """A domain as found on the host. `mark` is None when the cloud did not make it."""

    id: str
    """UUID, equal to the Machine's."""
    name: str
    state: DomainState
    stop_reason: StopReason | None = None
    mark: DomainMark | None = None


class DomainDisk(msgspec.Struct, frozen=True, kw_only=True):
    """One virtio disk. `path` is absolute; `format` is `qcow2` or `raw`."""

    path: Path
    format: str
    read_only: bool = False
    serial: str = ""


class PortForward(msgspec.Struct, frozen=True, kw_only=True):
    """A TCP port of the host that leads to a port of the guest (user-mode networking)."""

    host_address: str
    host_port: int
    guest_port: int


class GuestInterface(msgspec.Struct, frozen=True, kw_only=True):
    """The machine's network card: on a libvirt network, or in QEMU's user-mode network.

    `network` names a libvirt network; None means user-mode networking with `forwards`.
    """

    mac: str
    network: str | None = None
    forwards: tuple[PortForward, ...] = ()


class DomainSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything needed to define and start a domain."""

    id: str
    name: str
    cpu: int
    memory_kib: int
    disks: tuple[DomainDisk, ...]
    """The first one boots."""
    interface: GuestInterface
    console_log: Path
    """File that receives the serial console; bounded by the driver."""
    mark: DomainMark


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a host offers. Memory in KiB."""

    hypervisor: str
    """`libvirt` or `simulated`."""
    domain_type: str
    """`kvm`, `qemu` (emulation) or `simulated`."""
    cpu_arch: str
    cpu_count: int
    cpu_speed_mhz: int
    memory_kib: int
    boot_id: str


class DomainEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened to a domain; the receiver looks again. `id` None: look at all."""

    id: str | None
    what: str


class HypervisorUnavailable(TransientError):
    """The hypervisor cannot be reached or did not answer in time; machines are untouched."""

    code = "hypervisor-unavailable"


class DomainNotFound(TransientError):
    """The domain vanished between two calls: look again."""

    code = "domain-not-found"


class DomainRejected(PermanentError):
    """The hypervisor refuses this domain as described; asking again changes nothing."""

    code = "domain-rejected"


class Hypervisor(Protocol):
    """One host's hypervisor. Use as `async with`; all calls only inside it.

    Calls raise `HypervisorUnavailable`, `DomainNotFound` (where a domain must exist) and
    `DomainRejected`. None blocks the event loop, and each ends within its own timeout.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def facts(self) -> HostFacts:
        """What this host offers."""
        ...

    async def list_domains(self) -> list[Domain]:
        """All domains on the host, the foreign ones included."""
        ...

    async def find(self, id: str) -> Domain | None:
        """The domain with this UUID, None when the host has none."""
        ...

    async def start(self, spec: DomainSpec) -> Domain:
        """Define the domain if it is unknown, write its mark, and make it run.

        A stopped domain is defined anew and boots; a suspended one continues from its saved
        memory; a paused one resumes; a running one only gets its mark.
        """
        ...

    async def pause(self, id: str, mark: DomainMark) -> Domain:
        """Stop the processors, keep the memory; a paused domain stays paused."""
        ...

    async def suspend(self, id: str, mark: DomainMark) -> Domain:
        """Save memory to disk and stop; a stopped domain stays stopped."""
        ...

    async def shutdown(self, id: str, mark: DomainMark) -> Domain:
        """Press the power button and return at once; the end comes as an event, or never."""
        ...

    async def stop(self, id: str, mark: DomainMark) -> Domain:
        """Cut the power, discard saved memory; afterwards the domain is STOPPED."""
        ...

    async def mark(self, id: str, mark: DomainMark) -> None:
        """Only write the mark."""
        ...

    async def remove(self, id: str) -> None:
        """Cut the power and forget the domain with its saved memory; absent is success."""
        ...

    async def console(self, id: str, max_bytes: int) -> bytes:
        """The last `max_bytes` of the serial console's log; empty when there is none."""
        ...

    async def address(self, id: str) -> str | None:
        """The guest's IP address as the hypervisor's own network knows it, else None."""
        ...

    def events(self) -> AsyncIterator[DomainEvent]:
        """Life-cycle events from now on, within 100 ms; ends when the driver closes.

        After a lost connection was restored an event with id None asks for a full look.
        """
        ...
