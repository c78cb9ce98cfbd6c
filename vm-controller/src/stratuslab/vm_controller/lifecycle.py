"""What the node agent does next for a machine: a pure decision from document and domain.

No I/O, no clock, no random source. `decide` is called again after each act until it answers
`Act.NOTHING`; because it looks at both sides every time, repeating it is always safe.

Safety comes first: nothing is done to a domain that this cloud did not mark, or whose mark is
newer than the document (a store that was rolled back); only a tombstone destroys anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from stratuslab.core.contracts.machine import Machine
from stratuslab.core.contracts.machine_states import Power, SettledState
from stratuslab.vm_controller.drivers.base import Domain, StopReason


class Found(StrEnum):
    """What stands on the host, as one word."""

    ABSENT = "absent"
    RUNNING = "running"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    STOPPED = "stopped"


class Act(StrEnum):
    """What to ask of the hypervisor."""

    NOTHING = "nothing"
    START = "start"
    """Boot, resume or restore, whatever leads to running."""
    WAKE = "wake"
    """Like start, but only so that the guest can hear the power button."""
    PAUSE = "pause"
    SUSPEND = "suspend"
    SHUTDOWN = "shutdown"
    CUT = "cut"
    MARK = "mark"
    REMOVE = "remove"
    REFUSE = "refuse"
    """Touch nothing and report."""
    GIVE_UP = "give-up"
    """The wanted state cannot be reached from here; record what stands and why."""


@dataclass(frozen=True)
class Decision:
    """One step. `settles`: after it nothing is owed any more, the status can be written."""

    act: Act
    settles: bool = False
    reason: str = ""
    """For REFUSE and GIVE_UP a fixed word; when nothing was owed: why the machine is down."""
    message: str = ""
    restart: bool = False
    """For START: this start pays the restarts that are owed."""


OWED: dict[tuple[Found, Power], Decision] = {
    (Found.ABSENT, Power.STARTED): Decision(Act.START, settles=True),
    (Found.STOPPED, Power.STARTED): Decision(Act.START, settles=True),
    (Found.PAUSED, Power.STARTED): Decision(Act.START, settles=True),
    (Found.SUSPENDED, Power.STARTED): Decision(Act.START, settles=True),
    (Found.RUNNING, Power.STARTED): Decision(Act.MARK, settles=True),
    (Found.ABSENT, Power.STOPPED): Decision(Act.NOTHING, settles=True),
    (Found.STOPPED, Power.STOPPED): Decision(Act.MARK, settles=True),
    (Found.RUNNING, Power.STOPPED): Decision(Act.SHUTDOWN),
    (Found.PAUSED, Power.STOPPED): Decision(Act.WAKE),
    (Found.SUSPENDED, Power.STOPPED): Decision(Act.WAKE),
    (Found.RUNNING, Power.PAUSED): Decision(Act.PAUSE, settles=True),
    (Found.PAUSED, Power.PAUSED): Decision(Act.MARK, settles=True),
    (Found.RUNNING, Power.SUSPENDED): Decision(Act.SUSPEND, settles=True),
    (Found.PAUSED, Power.SUSPENDED): Decision(Act.SUSPEND, settles=True),
    (Found.SUSPENDED, Power.SUSPENDED): Decision(Act.MARK, settles=True),
}
"""The step towards the wanted power state; pairs that are absent cannot be reached."""

OWED_RESTART: dict[Found, Decision] = {
    Found.ABSENT: Decision(Act.START, settles=True, restart=True),
    Found.STOPPED: Decision(Act.START, settles=True, restart=True),
    Found.RUNNING: Decision(Act.SHUTDOWN),
    Found.PAUSED: Decision(Act.WAKE),
    Found.SUSPENDED: Decision(Act.WAKE),
}
"""The step of a restart that is still owed."""

FORCED: frozenset[Found] = frozenset({Found.RUNNING, Found.PAUSED, Found.SUSPENDED})
"""Where `force` cuts the power instead of asking the guest."""

RECORDED: dict[Found, SettledState] = {
    Found.ABSENT: SettledState.STOPPED,
    Found.STOPPED: SettledState.STOPPED,
    Found.RUNNING: SettledState.STARTED,
    Found.PAUSED: SettledState.PAUSED,
    Found.SUSPENDED: SettledState.SUSPENDED,
}
"""The settled state that is recorded for what stands on the host."""

RESTARTED_BY_POLICY: dict[str, frozenset[StopReason]] = {
    "never": frozenset(),
    "on-host-reboot": frozenset({StopReason.HOST_REBOOT}),
    "always": frozenset(
        {StopReason.HOST_REBOOT, StopReason.GUEST, StopReason.CRASH, StopReason.UNKNOWN}
    ),
}
"""Which ends of a machine that should run are answered with a new start."""


def found(domain: Domain | None) -> Found:
    """What stands on the host."""
    return Found.ABSENT if domain is None else Found(domain.state.value)


def decide(machine: Machine, domain: Domain | None, *, cloud_id: str, boot_id: str) -> Decision:
    """The next step for this machine on this host."""
    refusal = _refuse(machine, domain, cloud_id)
    if refusal is not None:
        return refusal
    if machine.deletion_requested is not None:
        return Decision(Act.REMOVE, settles=True)
    if machine.status.observed_generation < machine.generation and not _rebuilding(machine, domain):
        return _towards(machine, domain)
    return _keep(machine, domain, boot_id)


def _refuse(machine: Machine, domain: Domain | None, cloud_id: str) -> Decision | None:
    if domain is None:
        return None
    mark = domain.mark
    if mark is None or mark.cloud_id != cloud_id:
        return Decision(
            Act.REFUSE,
            reason="ForeignDomain",
            message="A domain with this machine's UUID exists that this cloud did not make.",
        )
    if mark.generation > machine.generation or mark.fence > machine.assignment.fence:
        return Decision(
            Act.REFUSE,
            reason="StaleDocument",
            message="The domain is newer than the machine's document: the store was rolled back.",
        )
    return None


def _rebuilding(machine: Machine, domain: Domain | None) -> bool:
    """Status was lost, but the domain's mark tells that this generation was carried out."""
    return (
        machine.status.state is SettledState.NEW
        and domain is not None
        and domain.mark is not None
        and domain.mark.generation == machine.generation
        and domain.mark.restarts >= machine.spec.restarts
        and (
            RECORDED[found(domain)].value == machine.spec.power.value
            or domain.stop_reason in {StopReason.GUEST, StopReason.CRASH}
        )
    )


def _restarts(machine: Machine, domain: Domain | None) -> int:
    marked = domain.mark.restarts if domain is not None and domain.mark is not None else 0
    return max(machine.status.restarts, marked)


def _towards(machine: Machine, domain: Domain | None) -> Decision:
    spec = machine.spec
    what = found(domain)
    restart = spec.power is Power.STARTED and spec.restarts > _restarts(machine, domain)
    stops = restart or spec.power is Power.STOPPED
    if stops and spec.force and what in FORCED:
        return Decision(Act.CUT, settles=not restart)
    if restart:
        return OWED_RESTART[what]
    step = OWED.get((what, spec.power))
    if step is None:
        return Decision(
            Act.GIVE_UP,
            settles=True,
            reason="WrongState",
            message=f"The machine is {what.value} and cannot become {spec.power.value} from there.",
        )
    if step.act is Act.MARK and domain is not None and domain.mark is not None:
        already = domain.mark.generation == machine.generation
        return Decision(Act.NOTHING, settles=True) if already else step
    return step


def _keep(machine: Machine, domain: Domain | None, boot_id: str) -> Decision:
    """Nothing is owed: record what stands, and start again what policy wants running."""
    what = found(domain)
    status = machine.status
    down = what in {Found.ABSENT, Found.STOPPED}
    ran = status.state in {SettledState.STARTED, SettledState.PAUSED, SettledState.NEW}
    if not down or not ran:
        lost_memory = down and status.state is SettledState.SUSPENDED
        return Decision(
            Act.NOTHING,
            settles=True,
            reason=StopReason.UNKNOWN if lost_memory else status.stop_reason or "",
        )
    reason = stop_reason(machine, domain, boot_id)
    wanted = machine.spec.power is Power.STARTED
    if wanted and reason in RESTARTED_BY_POLICY[machine.spec.restart_policy]:
        return Decision(Act.START, settles=True, reason=reason)
    return Decision(Act.NOTHING, settles=True, reason=reason)


def stop_reason(machine: Machine, domain: Domain | None, boot_id: str) -> StopReason:
    """Why a machine that ran is down."""
    if domain is not None and domain.stop_reason is not None:
        return domain.stop_reason
    before = machine.status.boot_id
    if before and before != boot_id:
        return StopReason.HOST_REBOOT
    return StopReason.UNKNOWN


def recorded(machine: Machine, domain: Domain | None) -> SettledState:
    """The settled state to write for what stands on the host.

    ERROR stays until something runs again or the user asks for something else.
    """
    state = RECORDED[found(domain)]
    settled = machine.status.observed_generation >= machine.generation
    failed = machine.status.state is SettledState.ERROR and settled
    return SettledState.ERROR if failed and state is SettledState.STOPPED else state


def differs(machine: Machine, domain: Domain | None, *, cloud_id: str, boot_id: str) -> bool:
    """Whether a machine is worth a look: something is owed, or its host says otherwise."""
    decision = decide(machine, domain, cloud_id=cloud_id, boot_id=boot_id)
    if decision.act is not Act.NOTHING or not machine.settled:
        return True
    return recorded(machine, domain) is not machine.status.state
