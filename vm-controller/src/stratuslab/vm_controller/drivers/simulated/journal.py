"""The journal of a simulated host: its lines, and the state they add up to (pure).

The journal *is* the host: a domain runs because the journal says that it was started. Each line
is one `Happening` in JSON with the next `sequence` number. Writers append without a lock; of two
that took the same number the first in the file counts, the other is void for every reader alike,
as are torn and unreadable lines. So the state is a function of the file's bytes alone, and a
writer that was stopped, killed or slow can never change it behind anybody's back.

It must not touch files or clocks: `journal_file` does.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

import msgspec

from stratuslab.vm_controller.drivers.base import Domain, DomainMark, DomainState, StopReason


class Event(StrEnum):
    """What happened. `started` includes the definition: a domain is defined when it boots."""

    STARTED = "started"
    RESUMED = "resumed"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    SHUTDOWN_REQUESTED = "shutdown-requested"
    STOPPED = "stopped"
    MARKED = "marked"
    REMOVED = "removed"
    BOOTED = "booted"
    """The host booted: what was in its memory is gone."""
    CLOSED = "closed"
    """Last line of a file that was rotated away."""
    COMPACTED = "compacted"
    """First line of a file that goes on from a rotated one: everything there was."""


class SimulatedDomain(msgspec.Struct, omit_defaults=True, rename="camel", kw_only=True):
    """A domain as the journal tells it. Times are wall clock seconds.

    `boot_seconds` is how long its guest boots, `ready_at` when that is done, `ends_at` when a
    guest whose power button was pressed will have shut down, `frozen_at` since when it is paused
    or suspended (its own time stands still), `ended_at` when it stopped.
    """

    id: str
    name: str
    cpu: int
    memory_kib: int
    mac: str
    state: DomainState
    boot_seconds: float
    ready_at: float
    stop_reason: StopReason | None = None
    mark: DomainMark | None = None
    ends_at: float | None = None
    frozen_at: float | None = None
    ended_at: float | None = None

    @property
    def is_active(self) -> bool:
        """Whether it is in the host's memory."""
        return self.state is DomainState.RUNNING or self.state is DomainState.PAUSED

    def is_over(self, now: float) -> bool:
        """Whether the guest has meanwhile shut down, though no line says so yet."""
        return (
            self.ends_at is not None and self.state is DomainState.RUNNING and self.ends_at <= now
        )

    def seen(self, now: float) -> Domain:
        """The domain as the port shows it."""
        if self.is_over(now):
            state, reason = DomainState.STOPPED, StopReason.REQUESTED
            return Domain(
                id=self.id, name=self.name, state=state, stop_reason=reason, mark=self.mark
            )
        return Domain(
            id=self.id,
            name=self.name,
            state=self.state,
            stop_reason=self.stop_reason,
            mark=self.mark,
        )


class Happening(msgspec.Struct, omit_defaults=True, rename="camel", kw_only=True):
    """One line. `sequence` and `at` (wall clock seconds) are stamped when it is written.

    `shutdown_seconds` is absent where the guest ignores its power button. `machine_boot_id` is
    the boot of the machine underneath, where the simulated host is bound to it.
    """

    sequence: int = 0
    at: float = 0.0
    event: Event
    pid: int = 0
    id: str = ""
    mark: DomainMark | None = None
    reason: StopReason | None = None
    name: str = ""
    cpu: int = 0
    memory_kib: int = 0
    mac: str = ""
    boot_seconds: float = 0.0
    shutdown_seconds: float | None = None
    boot_id: str = ""
    machine_boot_id: str = ""
    domains: list[SimulatedDomain] = []


_decoder: Final = msgspec.json.Decoder(Happening)
_encoder: Final = msgspec.json.Encoder()


def encode(happening: Happening) -> bytes:
    """The line, its end included."""
    return _encoder.encode(happening) + b"\n"


def decode(line: bytes) -> Happening | None:
    """The happening, None where the line is torn or none of ours."""
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


class HostState:
    """What the lines read so far add up to. One instance reads one file from its beginning."""

    def __init__(self) -> None:
        self.domains: dict[str, SimulatedDomain] = {}
        self.sequence = 0
        self.at = 0.0
        self.boot_id = ""
        self.machine_boot_id = ""
        self.closed = False
        self._ends: list[tuple[float, str]] = []

    def accepts(self, happening: Happening) -> bool:
        """Whether the line counts at this place of the file."""
        if self.closed:
            return False
        if happening.event is Event.COMPACTED:
            return self.sequence == 0
        return happening.sequence == self.sequence + 1

    def apply(self, happening: Happening) -> None:
        """Let an accepted line happen."""
        self.sequence = happening.sequence
        self.at = happening.at
        id, event = happening.id, happening.event
        if event is Event.STARTED:
            self.domains[id] = _booting(happening)
        elif event is Event.REMOVED:
            self.domains.pop(id, None)
        elif event is Event.BOOTED:
            self._boot(happening)
        elif event is Event.COMPACTED:
            self._take_over(happening)
        elif event is Event.CLOSED:
            self.closed = True
        elif (domain := self.domains.get(id)) is not None:
            self._change(domain, happening)

    def feed(self, line: bytes) -> Happening | None:
        """Read one line; the happening if it counted."""
        happening = decode(line)
        if happening is None or not self.accepts(happening):
            return None
        self.apply(happening)
        return happening

    def next_end(self) -> tuple[float, str] | None:
        """When the next guest will have shut down (wall clock seconds), and its domain's id."""
        while self._ends:
            ends_at, id = self._ends[0]
            domain = self.domains.get(id)
            if domain is not None and domain.ends_at == ends_at and domain.is_over(ends_at):
                return ends_at, id
            heapq.heappop(self._ends)
        return None

    def compacted(self) -> Happening:
        """The first line of the file that follows this one."""
        return Happening(
            sequence=self.sequence,
            at=self.at,
            event=Event.COMPACTED,
            boot_id=self.boot_id,
            machine_boot_id=self.machine_boot_id,
            domains=list(self.domains.values()),
        )

    def _change(self, domain: SimulatedDomain, happening: Happening) -> None:
        if happening.mark is not None:
            domain.mark = happening.mark
        change = _CHANGES.get(happening.event)
        if change is not None:
            change(domain, happening)
        if domain.ends_at is not None and domain.state is DomainState.RUNNING:
            heapq.heappush(self._ends, (domain.ends_at, domain.id))

    def _boot(self, happening: Happening) -> None:
        self.boot_id = happening.boot_id
        self.machine_boot_id = happening.machine_boot_id
        for domain in self.domains.values():
            if domain.is_over(happening.at):
                _end(domain, happening.at, StopReason.REQUESTED)
            elif domain.is_active:
                _end(domain, happening.at, StopReason.HOST_REBOOT)

    def _take_over(self, happening: Happening) -> None:
        self.boot_id = happening.boot_id
        self.machine_boot_id = happening.machine_boot_id
        self.domains = {domain.id: msgspec.structs.replace(domain) for domain in happening.domains}
        self._ends = [(d.ends_at, d.id) for d in happening.domains if d.ends_at is not None]
        heapq.heapify(self._ends)


def fold(lines: Iterable[bytes]) -> dict[str, SimulatedDomain]:
    """The domains that the lines of one file, oldest first, add up to."""
    state = HostState()
    for line in lines:
        state.feed(line)
    return state.domains


def _booting(happening: Happening) -> SimulatedDomain:
    return SimulatedDomain(
        id=happening.id,
        name=happening.name,
        cpu=happening.cpu,
        memory_kib=happening.memory_kib,
        mac=happening.mac,
        state=DomainState.RUNNING,
        boot_seconds=happening.boot_seconds,
        ready_at=happening.at + happening.boot_seconds,
        mark=happening.mark,
    )


def _resume(domain: SimulatedDomain, happening: Happening) -> None:
    if domain.frozen_at is not None:
        frozen_seconds = happening.at - domain.frozen_at
        domain.ready_at += frozen_seconds
        if domain.ends_at is not None:
            domain.ends_at += frozen_seconds
    domain.state = DomainState.RUNNING
    domain.frozen_at = None


def _freeze(domain: SimulatedDomain, happening: Happening) -> None:
    paused = happening.event is Event.PAUSED
    domain.state = DomainState.PAUSED if paused else DomainState.SUSPENDED
    if domain.frozen_at is None:
        domain.frozen_at = happening.at


def _press_power_button(domain: SimulatedDomain, happening: Happening) -> None:
    if happening.shutdown_seconds is not None:
        pressed_at = happening.at if domain.frozen_at is None else domain.frozen_at
        domain.ends_at = pressed_at + happening.shutdown_seconds


def _stop(domain: SimulatedDomain, happening: Happening) -> None:
    _end(domain, happening.at, happening.reason or StopReason.UNKNOWN)


def _end(domain: SimulatedDomain, at: float, reason: StopReason) -> None:
    domain.ended_at = domain.ends_at if domain.ends_at is not None and domain.is_over(at) else at
    domain.state = DomainState.STOPPED
    domain.stop_reason = reason
    domain.ends_at = None
    domain.frozen_at = None


_CHANGES: Final[dict[Event, Callable[[SimulatedDomain, Happening], None]]] = {
    Event.RESUMED: _resume,
    Event.PAUSED: _freeze,
    Event.SUSPENDED: _freeze,
    Event.SHUTDOWN_REQUESTED: _press_power_button,
    Event.STOPPED: _stop,
}
