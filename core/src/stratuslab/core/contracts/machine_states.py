"""The life of a Machine as tables: states, actions, and what a user sees while work is in flight.

Pure data and pure functions; the reference page and its diagram are generated from these tables.
Source: DSP0263 (CIMI) Machine operations; which action is offered in which state is the
recommended matrix, see docs/reference/machine-states.md.

Two fields are kept apart: the settled state (`status.state`, written by the node agent) and the
work in flight (`spec` newer than `status.observedGeneration`). `shown_state` joins them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class MachineState(StrEnum):
    """The states of CIMI 1.x that a user can see."""

    CREATING = "CREATING"
    STARTING = "STARTING"
    STARTED = "STARTED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    PAUSING = "PAUSING"
    PAUSED = "PAUSED"
    SUSPENDING = "SUSPENDING"
    SUSPENDED = "SUSPENDED"
    DELETING = "DELETING"
    ERROR = "ERROR"


class SettledState(StrEnum):
    """What the node agent can find a machine in."""

    NEW = "NEW"
    """No host has carried out anything yet."""
    STARTED = "STARTED"
    STOPPED = "STOPPED"
    PAUSED = "PAUSED"
    SUSPENDED = "SUSPENDED"
    ERROR = "ERROR"
    """The last change could not be carried out and was given up; a condition says why."""


class Power(StrEnum):
    """What the user wants the machine to be."""

    STARTED = "STARTED"
    STOPPED = "STOPPED"
    PAUSED = "PAUSED"
    SUSPENDED = "SUSPENDED"


class MachineAction(StrEnum):
    """The CIMI operations that change a machine's state."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    PAUSE = "pause"
    SUSPEND = "suspend"


WANTED_BY: dict[MachineAction, Power] = {
    MachineAction.START: Power.STARTED,
    MachineAction.STOP: Power.STOPPED,
    MachineAction.RESTART: Power.STARTED,
    MachineAction.PAUSE: Power.PAUSED,
    MachineAction.SUSPEND: Power.SUSPENDED,
}

IN_FLIGHT: dict[Power, MachineState] = {
    Power.STARTED: MachineState.STARTING,
    Power.STOPPED: MachineState.STOPPING,
    Power.PAUSED: MachineState.PAUSING,
    Power.SUSPENDED: MachineState.SUSPENDING,
}


class Offer(NamedTuple):
    """An action offered in a state; `force_only`: only with `force: true`."""

    action: MachineAction
    force_only: bool = False


_START, _STOP = Offer(MachineAction.START), Offer(MachineAction.STOP)
_RESTART, _PAUSE = Offer(MachineAction.RESTART), Offer(MachineAction.PAUSE)
_SUSPEND, _CUT = Offer(MachineAction.SUSPEND), Offer(MachineAction.STOP, force_only=True)

OFFERED: dict[MachineState, tuple[Offer, ...]] = {
    MachineState.CREATING: (),
    MachineState.STARTING: (_CUT,),
    MachineState.STARTED: (_STOP, _RESTART, _PAUSE, _SUSPEND),
    MachineState.STOPPING: (_STOP,),
    MachineState.STOPPED: (_START, _RESTART),
    MachineState.PAUSING: (),
    MachineState.PAUSED: (_START, _STOP, _SUSPEND),
    MachineState.SUSPENDING: (),
    MachineState.SUSPENDED: (_START, _STOP),
    MachineState.DELETING: (),
    MachineState.ERROR: (_START, _STOP),
}

EDITABLE: frozenset[MachineState] = frozenset(MachineState) - {
    MachineState.CREATING,
    MachineState.DELETING,
}

DELETABLE: frozenset[MachineState] = frozenset(MachineState) - {MachineState.DELETING}
"""Deleting implies a power cut. A machine still being created can be deleted too: nobody should
have to wait for a host that never comes."""


def is_settled(generation: int, observed_generation: int, *, deleting: bool) -> bool:
    """Whether the last change of the spec was carried out or given up."""
    return observed_generation >= generation and not deleting


def shown_state(
    state: SettledState, power: Power, *, settled: bool, restarting: bool, deleting: bool
) -> MachineState:
    """The state a user sees.

    `settled`: the last change was carried out; `restarting`: a restart is still owed.
    """
    if deleting:
        return MachineState.DELETING
    if state is SettledState.NEW:
        return MachineState.CREATING
    if settled:
        return MachineState(state.value)
    if restarting and state is SettledState.STARTED:
        return MachineState.STOPPING
    if not restarting and state.value == power.value:
        return MachineState(state.value)
    return IN_FLIGHT[power]


def offers(state: MachineState, action: MachineAction, *, force: bool = False) -> bool:
    """Whether this action may be asked for in this state."""
    return any(
        offer.action is action and (force or not offer.force_only) for offer in OFFERED[state]
    )
