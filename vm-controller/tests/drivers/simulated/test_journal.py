"""The journal's lines and what they add up to."""

from __future__ import annotations

from stratuslab.vm_controller.drivers.base import DomainMark, DomainState, StopReason
from stratuslab.vm_controller.drivers.simulated.journal import (
    Event,
    Happening,
    HostState,
    decode,
    encode,
    fold,
)

MARK = DomainMark(cloud_id="cloud-1", generation=1, fence=1)


def line(sequence: int, event: Event, *, at: float = 0.0, id: str = "a", **more: object) -> bytes:
    return encode(Happening(sequence=sequence, event=event, at=at, id=id, **more))  # type: ignore[arg-type]


def test_a_line_survives_writing_and_reading() -> None:
    happening = Happening(
        sequence=7, at=1.5, event=Event.SHUTDOWN_REQUESTED, id="a", mark=MARK, shutdown_seconds=0.0
    )
    assert decode(encode(happening)) == happening


def test_of_two_lines_with_the_same_number_the_first_counts() -> None:
    lines = [
        line(1, Event.STARTED, mark=MARK),
        line(2, Event.PAUSED),
        line(2, Event.STOPPED, reason=StopReason.REQUESTED),
        line(3, Event.SUSPENDED),
    ]
    assert fold(lines)["a"].state is DomainState.SUSPENDED


def test_torn_foreign_and_future_lines_are_void() -> None:
    lines = [
        line(1, Event.STARTED),
        b'{"sequence":2,"event":"stop\n',
        b"\xff\xfe\n",
        b"[]\n",
        b'{"sequence":2,"event":"exploded"}\n',
        line(9, Event.REMOVED),
    ]
    assert fold(lines)["a"].state is DomainState.RUNNING


def test_a_line_that_follows_the_end_of_the_file_is_void() -> None:
    lines = [line(1, Event.STARTED), line(2, Event.CLOSED, id=""), line(3, Event.REMOVED)]
    assert "a" in fold(lines)


def test_a_frozen_guest_needs_its_own_time_to_boot_and_to_shut_down() -> None:
    state = HostState()
    state.feed(line(1, Event.STARTED, at=100.0, boot_seconds=10.0))
    state.feed(line(2, Event.SHUTDOWN_REQUESTED, at=101.0, shutdown_seconds=5.0))
    state.feed(line(3, Event.PAUSED, at=102.0))
    assert state.next_end() is None
    assert not state.domains["a"].is_over(1000.0)

    state.feed(line(4, Event.SUSPENDED, at=150.0))
    state.feed(line(5, Event.RESUMED, at=202.0))
    assert state.next_end() == (206.0, "a")
    assert state.domains["a"].ready_at == 210.0


def test_the_power_button_of_a_frozen_guest_works_once_it_goes_on() -> None:
    state = HostState()
    state.feed(line(1, Event.STARTED, at=100.0))
    state.feed(line(2, Event.PAUSED, at=110.0))
    state.feed(line(3, Event.SHUTDOWN_REQUESTED, at=120.0, shutdown_seconds=5.0))
    state.feed(line(4, Event.RESUMED, at=200.0))
    assert state.next_end() == (205.0, "a")


def test_a_host_that_boots_loses_its_memory_but_not_its_disks() -> None:
    state = HostState()
    for number, id in enumerate(("running", "paused", "suspended", "stopped", "over"), start=1):
        state.feed(line(number, Event.STARTED, id=id, at=1.0))
    state.feed(line(6, Event.PAUSED, id="paused", at=2.0))
    state.feed(line(7, Event.SUSPENDED, id="suspended", at=2.0))
    state.feed(line(8, Event.STOPPED, id="stopped", at=2.0, reason=StopReason.GUEST))
    state.feed(line(9, Event.SHUTDOWN_REQUESTED, id="over", at=2.0, shutdown_seconds=1.0))
    state.feed(line(10, Event.BOOTED, id="", at=9.0, boot_id="boot-2"))
    assert {domain.id: (domain.state, domain.stop_reason) for domain in state.domains.values()} == {
        "running": (DomainState.STOPPED, StopReason.HOST_REBOOT),
        "paused": (DomainState.STOPPED, StopReason.HOST_REBOOT),
        "suspended": (DomainState.SUSPENDED, None),
        "stopped": (DomainState.STOPPED, StopReason.GUEST),
        "over": (DomainState.STOPPED, StopReason.REQUESTED),
    }
    assert state.boot_id == "boot-2"
    assert state.domains["over"].ended_at == 3.0


def test_a_compacted_journal_goes_on_exactly_where_the_old_one_ended() -> None:
    state = HostState()
    state.feed(line(1, Event.BOOTED, id="", boot_id="boot-1", machine_boot_id="machine-1"))
    state.feed(line(2, Event.STARTED, id="a", at=5.0, mark=MARK, boot_seconds=2.0, mac="m", cpu=2))
    state.feed(line(3, Event.STARTED, id="b", at=6.0))
    state.feed(line(4, Event.SHUTDOWN_REQUESTED, id="b", at=7.0, shutdown_seconds=9.0))
    successor = HostState()
    successor.feed(encode(state.compacted()))
    assert successor.domains == state.domains
    assert (successor.boot_id, successor.machine_boot_id) == ("boot-1", "machine-1")
    assert successor.next_end() == state.next_end() == (16.0, "b")
    assert successor.feed(line(5, Event.REMOVED, id="b")) is not None
