"""The page of machine states: tables and diagram out of `contracts.machine_states`."""

from __future__ import annotations

from collections.abc import Iterator

from stratuslab.core.contracts.machine_states import (
    DELETABLE,
    EDITABLE,
    IN_FLIGHT,
    OFFERED,
    WANTED_BY,
    MachineAction,
    MachineState,
    Offer,
    Power,
    SettledState,
    offers,
    shown_state,
)
from stratuslab.core.reference.markdown import code, table

INTRODUCTION = """# Machine states

What a user sees of a machine is one state. Behind it stand two things that are kept apart: the
settled state, in which the machine's host found it last, and the work that is still owed to the
last change of what the user wants.
"""
OFFERED_NOTE = """`stop*`: only with `force`. Editing means name, description, properties and so on;
deleting implies a power cut.
"""
IN_FLIGHT_NOTE = """Rows: the settled state; columns: what the user wants, in *italics* when nothing
has to change for it. While a restart is owed a machine that runs is shown as STOPPING; while a
machine is deleted it is shown as DELETING.
"""


def machine_states_page() -> str:
    """The page."""
    return "\n".join(
        [
            INTRODUCTION,
            _diagram(),
            "## What is offered in which state\n",
            _offered(),
            OFFERED_NOTE,
            "## Actions\n",
            _actions(),
            "## What is seen while work is in flight\n",
            IN_FLIGHT_NOTE,
            _in_flight(),
        ]
    )


def transitions() -> list[tuple[str, str, str]]:
    """From, to, and by what; without deletion, which is possible from nearly everywhere."""
    found: list[tuple[str, str, str]] = [("[*]", MachineState.CREATING, "create")]
    found += [(MachineState.CREATING, settled, "done") for settled in ("STARTED", "STOPPED")]
    for state in MachineState:
        for offer in OFFERED[state]:
            found.append((state, _after(state, offer), _label(offer)))
    for power, state in IN_FLIGHT.items():
        found.append((state, MachineState(power.value), "done"))
        found.append((state, MachineState.ERROR, "given up"))
    found.append((MachineState.CREATING, MachineState.ERROR, "given up"))
    found.append((MachineState.STOPPING, MachineState.STARTING, "restart goes on"))
    return found


def _diagram() -> str:
    arrows: dict[tuple[str, str], list[str]] = {}
    for begin, end, label in transitions():
        if begin != end:
            arrows.setdefault((begin, end), []).append(label)
    lines = [
        f"    {begin} --> {end}: {', '.join(labels)}" for (begin, end), labels in arrows.items()
    ]
    lines += ["    STOPPED --> DELETING: delete (from any state)", "    DELETING --> [*]: done"]
    return "```mermaid\nstateDiagram-v2\n" + "\n".join(lines) + "\n```\n"


def _after(state: MachineState, offer: Offer) -> MachineState:
    """What is seen right after the action was asked for."""
    power = WANTED_BY[offer.action]
    settled = {each.value: each for each in SettledState}.get(state.value)
    if settled is None:
        return IN_FLIGHT[power]
    restarting = offer.action is MachineAction.RESTART
    return shown_state(settled, power, settled=False, restarting=restarting, deleting=False)


def _offered() -> str:
    rows = [
        (
            code(state.value),
            ", ".join(code(_label(offer)) for offer in OFFERED[state]),
            "yes" if state in EDITABLE else "",
            "yes" if state in DELETABLE else "",
        )
        for state in MachineState
    ]
    return table(("State", "Actions", "Edit", "Delete"), rows)


def _label(offer: Offer) -> str:
    return offer.action.value + ("*" if offer.force_only else "")


def _actions() -> str:
    def seen(action: MachineAction) -> str:
        states = {_after(state, Offer(action)) for state in MachineState if offers(state, action)}
        return ", ".join(code(state.value) for state in MachineState if state in states)

    rows = [
        (code(action.value), code(power.value), seen(action)) for action, power in WANTED_BY.items()
    ]
    return table(("Action", "What is wanted then", "Seen meanwhile"), rows)


def _in_flight() -> str:
    def cell(state: SettledState, power: Power) -> str:
        shown = shown_state(state, power, settled=False, restarting=False, deleting=False).value
        return f"*{shown}*" if state.value == power.value else shown

    def rows() -> Iterator[tuple[str, ...]]:
        for state in SettledState:
            yield (code(state.value), *(cell(state, power) for power in Power))

    return table(("Settled", *(code(power.value) for power in Power)), rows())
