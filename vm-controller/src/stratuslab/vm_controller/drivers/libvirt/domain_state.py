"""libvirt's states and reasons in the words of the hypervisor port. Pure: tables.

The numbers are libvirt's public, stable constants (virDomainState and its reasons); they are
written out here so that the tables can be read and tested without libvirt.
"""

from __future__ import annotations

from enum import IntEnum

from stratuslab.vm_controller.drivers.base import DomainMark, DomainState, StopReason


class LibvirtState(IntEnum):
    """virDomainState."""

    NOSTATE = 0
    RUNNING = 1
    BLOCKED = 2
    PAUSED = 3
    SHUTDOWN = 4
    SHUTOFF = 5
    CRASHED = 6
    PMSUSPENDED = 7


class ShutoffReason(IntEnum):
    """virDomainShutoffReason."""

    UNKNOWN = 0
    SHUTDOWN = 1
    DESTROYED = 2
    CRASHED = 3
    MIGRATED = 4
    SAVED = 5
    FAILED = 6
    FROM_SNAPSHOT = 7
    DAEMON = 8


class LifecycleEvent(IntEnum):
    """virDomainEventType."""

    DEFINED = 0
    UNDEFINED = 1
    STARTED = 2
    SUSPENDED = 3
    RESUMED = 4
    STOPPED = 5
    SHUTDOWN = 6
    PMSUSPENDED = 7
    CRASHED = 8


SHUTDOWN_BY_HOST = 2
"""virDomainEventShutdownDetailType: QEMU ended because of a signal, as at the host's shutdown."""

STATES: dict[int, DomainState] = {
    LibvirtState.NOSTATE: DomainState.RUNNING,
    LibvirtState.RUNNING: DomainState.RUNNING,
    LibvirtState.BLOCKED: DomainState.RUNNING,
    LibvirtState.PAUSED: DomainState.PAUSED,
    LibvirtState.SHUTDOWN: DomainState.RUNNING,
    LibvirtState.SHUTOFF: DomainState.STOPPED,
    LibvirtState.CRASHED: DomainState.STOPPED,
    LibvirtState.PMSUSPENDED: DomainState.RUNNING,
}

REASONS: dict[int, StopReason] = {
    ShutoffReason.SHUTDOWN: StopReason.GUEST,
    ShutoffReason.CRASHED: StopReason.CRASH,
    ShutoffReason.FAILED: StopReason.CRASH,
    ShutoffReason.DAEMON: StopReason.CRASH,
}
"""Why a domain is shut off. DESTROYED is UNKNOWN: somebody else than the cloud cut the power."""


def domain_state(state: int, *, memory_saved: bool) -> DomainState:
    """What stands on the host."""
    found = STATES.get(state, DomainState.RUNNING)
    if found is DomainState.STOPPED and memory_saved:
        return DomainState.SUSPENDED
    return found


def stop_reason(
    state: int, reason: int, mark: DomainMark | None, *, boot_id: str, ended_by_host: bool
) -> StopReason:
    """Why a domain that is STOPPED does not run.

    libvirt forgets the reason when it is started anew; then another boot id tells that the
    host went down in between.
    """
    if mark is not None and mark.stopping:
        return StopReason.REQUESTED
    if ended_by_host:
        return StopReason.HOST_REBOOT
    if state == LibvirtState.CRASHED:
        return StopReason.CRASH
    known = REASONS.get(reason, StopReason.UNKNOWN)
    if known is StopReason.UNKNOWN and mark is not None and mark.boot_id not in ("", boot_id):
        return StopReason.HOST_REBOOT
    return known


def event_name(event: int) -> str:
    """A lifecycle event as a word."""
    try:
        return LifecycleEvent(event).name.lower()
    except ValueError:
        return f"event-{event}"
