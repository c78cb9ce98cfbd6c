"""What checkers read: the lines of the journals that counted, and the laws they must obey.

It must not write. Tests use it to prove that each machine ran as exactly one domain; so can
anybody who doubts a simulated cloud.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from stratuslab.vm_controller.drivers.base import DomainState
from stratuslab.vm_controller.drivers.simulated.journal import Event, Happening, HostState
from stratuslab.vm_controller.drivers.simulated.journal_file import journal_numbers, journal_path

_ACTIVE: Final = frozenset({DomainState.RUNNING, DomainState.PAUSED})
_LEGAL_BEFORE: Final[dict[Event, frozenset[DomainState | None]]] = {
    Event.STARTED: frozenset({None, DomainState.STOPPED}),
    Event.RESUMED: frozenset({DomainState.PAUSED, DomainState.SUSPENDED}),
    Event.PAUSED: frozenset({DomainState.RUNNING}),
    Event.SUSPENDED: _ACTIVE,
    Event.SHUTDOWN_REQUESTED: _ACTIVE,
    Event.STOPPED: _ACTIVE | {DomainState.SUSPENDED},
    Event.MARKED: frozenset(DomainState),
    Event.REMOVED: frozenset(DomainState),
}
"""In which states (None: unknown) a domain may be when something happens to it."""


def hosts_of(folder: Path) -> list[str]:
    """The names of the hosts that have a journal in this folder."""
    return sorted({path.parent.name for path in folder.glob("*/journal.*.jsonl")})


def read_journal(folder: Path, host: str) -> list[Happening]:
    """A host's happenings, oldest first, from the file in use and the one before.

    Raises `FileNotFoundError` where there is no such host.
    """
    while True:
        number = _number_in_use(folder / host)
        current = _happenings(journal_path(folder / host, number))
        before = journal_path(folder / host, number - 1)
        rotated = _happenings(before) if before.exists() else []
        if number == _number_in_use(folder / host):
            return _joined(rotated, current)


def read_host(folder: Path, host: str) -> HostState:
    """The state of a host now. Raises `FileNotFoundError` where there is no such host."""
    while True:
        number = _number_in_use(folder / host)
        state, _ = _read(journal_path(folder / host, number))
        if number == _number_in_use(folder / host):
            return state


def check_journals(folder: Path) -> list[str]:
    """Every breach of a law in the journals of all hosts in this folder; none is good news.

    The laws: what happens to a domain fits its state (above all: it is not started while it
    runs), no domain is in the memory of two hosts at once, and nobody obeys a lower fence than
    another host, or the same, has obeyed before. Hosts are put in order by wall clock, so that
    two hosts' happenings within the same microsecond may be told the wrong way round.
    """
    hosts = hosts_of(folder)
    states = {host: HostState() for host in hosts}
    highest_fence: dict[str, int] = {}
    return [
        f"{host} line {happening.sequence} at {happening.at:.6f}: {breach}"
        for host, happening in _in_order(folder, hosts)
        for breach in _breaches(host, happening, states, highest_fence)
    ]


def _in_order(folder: Path, hosts: list[str]) -> list[tuple[str, Happening]]:
    all_hosts = [(host, line) for host in hosts for line in read_journal(folder, host)]
    return sorted(all_hosts, key=lambda pair: (pair[1].at, pair[0], pair[1].sequence))


def _breaches(
    host: str, happening: Happening, states: dict[str, HostState], highest_fence: dict[str, int]
) -> Iterator[str]:
    """The laws that this happening breaks; afterwards it has happened."""
    id, event = happening.id, happening.event
    if event in _LEGAL_BEFORE:
        domain = states[host].domains.get(id)
        before = None if domain is None else domain.state
        if before not in _LEGAL_BEFORE[event]:
            yield f"domain {id} was {event} while {before or 'unknown'}"
    if event is Event.STARTED or event is Event.RESUMED:
        for other, state in states.items():
            there = state.domains.get(id)
            if other != host and there and there.is_active and not there.is_over(happening.at):
                yield f"domain {id} was {event} while {there.state} on {other}"
    if happening.mark is not None:
        fence = happening.mark.fence
        if fence < highest_fence.get(id, fence):
            yield f"domain {id} was {event} under fence {fence} after {highest_fence[id]}"
        highest_fence[id] = max(fence, highest_fence.get(id, fence))
    states[host].apply(happening)


def _number_in_use(folder: Path) -> int:
    numbers = journal_numbers(folder)
    if not numbers:
        raise FileNotFoundError(f"There is no simulated host: no journal in {folder}.")
    return numbers[-1]


def _happenings(path: Path) -> list[Happening]:
    return _read(path)[1]


def _read(path: Path) -> tuple[HostState, list[Happening]]:
    state = HostState()
    with path.open("rb") as lines:
        fed = (state.feed(line) for line in lines if line.endswith(b"\n"))
        return state, [happening for happening in fed if happening is not None]


def _joined(rotated: list[Happening], current: list[Happening]) -> list[Happening]:
    """Both as one where the second goes on from the first, else the second alone."""
    if not rotated or not current or rotated[-1].event is not Event.CLOSED:
        return current
    goes_on = current[0].event is Event.COMPACTED and current[0].sequence == rotated[-1].sequence
    return rotated + current[1:] if goes_on else current
