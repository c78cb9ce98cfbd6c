"""What a careful hypervisor does when asked: the order and the domain in, the happening out (pure).

Each function returns None where it is already so. Raises `DomainNotFound` and `DomainRejected`.
It must not know the clock, chance or the journal's file.
"""

from __future__ import annotations

from uuid import UUID

from stratuslab.vm_controller.drivers.base import (
    DomainMark,
    DomainNotFound,
    DomainRejected,
    DomainSpec,
    DomainState,
    StopReason,
)
from stratuslab.vm_controller.drivers.simulated.journal import (
    Event,
    Happening,
    HostState,
    SimulatedDomain,
)


def start(
    state: HostState, spec: DomainSpec, *, memory_kib: int, memory_full: bool, boot_seconds: float
) -> Happening | None:
    """Boot it, let it go on, or only mark it."""
    domain = state.domains.get(spec.id)
    if domain is not None:
        _admit(domain, spec.mark)
        if domain.state is DomainState.RUNNING:
            return _marked(domain, spec.mark)
        if domain.state is DomainState.PAUSED:
            return Happening(event=Event.RESUMED, id=spec.id, mark=spec.mark)
    if memory_full:
        raise DomainRejected(
            f"Cannot start domain {spec.id}: the host has no memory left.",
            hint="Remove another machine, or start this one on another host.",
        )
    if domain is not None and domain.state is DomainState.SUSPENDED:
        return Happening(event=Event.RESUMED, id=spec.id, mark=spec.mark)
    _check(spec, memory_kib)
    return Happening(
        event=Event.STARTED,
        id=spec.id,
        name=spec.name,
        mark=spec.mark,
        cpu=spec.cpu,
        memory_kib=spec.memory_kib,
        mac=spec.interface.mac,
        boot_seconds=boot_seconds,
    )


def pause(state: HostState, id: str, mark: DomainMark) -> Happening | None:
    """Freeze a running domain; leave any other as it is."""
    domain = _ordered(state, id, mark)
    if domain.state is DomainState.RUNNING:
        return Happening(event=Event.PAUSED, id=id, mark=mark)
    return _marked(domain, mark)


def suspend(state: HostState, id: str, mark: DomainMark) -> Happening | None:
    """Save a running or paused domain; leave any other as it is."""
    domain = _ordered(state, id, mark)
    if domain.is_active:
        return Happening(event=Event.SUSPENDED, id=id, mark=mark)
    return _marked(domain, mark)


def shutdown(
    state: HostState, id: str, mark: DomainMark, *, shutdown_seconds: float | None
) -> Happening | None:
    """Press the power button, unless it was pressed and the guest is at it."""
    domain = _ordered(state, id, mark)
    if domain.is_active and domain.ends_at is None:
        return Happening(
            event=Event.SHUTDOWN_REQUESTED, id=id, mark=mark, shutdown_seconds=shutdown_seconds
        )
    return _marked(domain, mark)


def stop(state: HostState, id: str, mark: DomainMark) -> Happening | None:
    """Cut the power and discard saved memory."""
    domain = _ordered(state, id, mark)
    if domain.state is DomainState.STOPPED:
        return _marked(domain, mark)
    return Happening(event=Event.STOPPED, id=id, mark=mark, reason=StopReason.REQUESTED)


def mark(state: HostState, id: str, mark: DomainMark) -> Happening | None:
    """Write the mark."""
    return _marked(_ordered(state, id, mark), mark)


def remove(state: HostState, id: str) -> Happening | None:
    """Forget the domain."""
    return Happening(event=Event.REMOVED, id=id) if id in state.domains else None


def halt(state: HostState, id: str) -> Happening:
    """The guest powers itself off, by its own will or because the power button was pressed."""
    domain = _running(state, id, "power itself off")
    asked = domain.mark is not None and domain.mark.stopping
    reason = StopReason.REQUESTED if asked else StopReason.GUEST
    return Happening(event=Event.STOPPED, id=id, reason=reason)


def crash(state: HostState, id: str) -> Happening:
    """The guest's kernel panics, or its QEMU dies."""
    _running(state, id, "crash")
    return Happening(event=Event.STOPPED, id=id, reason=StopReason.CRASH)


def find(state: HostState, id: str) -> SimulatedDomain:
    """The domain, which must exist."""
    domain = state.domains.get(id)
    if domain is None:
        raise DomainNotFound(f"The simulated host has no domain {id}.", hint="Look again.")
    return domain


def _ordered(state: HostState, id: str, mark: DomainMark) -> SimulatedDomain:
    domain = find(state, id)
    _admit(domain, mark)
    return domain


def _admit(domain: SimulatedDomain, mark: DomainMark) -> None:
    """Refuse an order that is older than one that was already obeyed."""
    held = domain.mark
    if held is None:
        return
    if mark.fence < held.fence:
        raise DomainRejected(
            f"Stale fence: the order for domain {domain.id} carries fence {mark.fence}, but the "
            f"host has already obeyed fence {held.fence}.",
            hint="Another agent has taken over: read the machine's document again.",
        )
    if mark.fence == held.fence and mark.generation < held.generation:
        raise DomainRejected(
            f"Stale generation: the order for domain {domain.id} is of generation "
            f"{mark.generation}, but the host has already obeyed generation {held.generation}.",
            hint="The order comes from an old document: read it again.",
        )


def _marked(domain: SimulatedDomain, mark: DomainMark) -> Happening | None:
    return None if domain.mark == mark else Happening(event=Event.MARKED, id=domain.id, mark=mark)


def _running(state: HostState, id: str, what: str) -> SimulatedDomain:
    domain = find(state, id)
    if domain.state is not DomainState.RUNNING:
        raise DomainRejected(
            f"Domain {id} cannot {what}: it is {domain.state}.", hint="Only a running one can."
        )
    return domain


def _check(spec: DomainSpec, memory_kib: int) -> None:
    try:
        UUID(spec.id)
    except ValueError as error:
        raise DomainRejected(
            f"Cannot define a domain with the id {spec.id!r}: it is not a UUID."
        ) from error
    if spec.cpu < 1 or spec.memory_kib < 1:
        raise DomainRejected(
            f"Cannot define domain {spec.id} with {spec.cpu} processors and {spec.memory_kib} KiB "
            "of memory: it needs at least one of each."
        )
    if spec.memory_kib > memory_kib:
        raise DomainRejected(
            f"Cannot start domain {spec.id}: it wants {spec.memory_kib} KiB of memory, "
            f"the whole host has {memory_kib} KiB."
        )
