"""Every libvirt state and shut-off reason has its word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratuslab.vm_controller.drivers.base import DomainMark, DomainState, StopReason
from stratuslab.vm_controller.drivers.libvirt.domain_state import (
    LibvirtState,
    ShutoffReason,
    domain_state,
    event_name,
    stop_reason,
)

MARK = DomainMark(cloud_id="c", generation=1, fence=1, boot_id="now")
STOPPING = DomainMark(cloud_id="c", generation=1, fence=1, boot_id="now", stopping=True)
BEFORE = DomainMark(cloud_id="c", generation=1, fence=1, boot_id="before")


def reason(number: int, mark: DomainMark | None, *, by_host: bool = False) -> StopReason:
    return stop_reason(LibvirtState.SHUTOFF, number, mark, boot_id="now", ended_by_host=by_host)


@pytest.mark.parametrize(
    ("state", "saved", "expected"),
    [
        (LibvirtState.RUNNING, False, DomainState.RUNNING),
        (LibvirtState.BLOCKED, False, DomainState.RUNNING),
        (LibvirtState.SHUTDOWN, False, DomainState.RUNNING),
        (LibvirtState.PAUSED, False, DomainState.PAUSED),
        (LibvirtState.SHUTOFF, False, DomainState.STOPPED),
        (LibvirtState.SHUTOFF, True, DomainState.SUSPENDED),
        (LibvirtState.CRASHED, False, DomainState.STOPPED),
    ],
)
def test_states(state: LibvirtState, *, saved: bool, expected: DomainState) -> None:
    assert domain_state(state, memory_saved=saved) is expected


@pytest.mark.parametrize(
    ("number", "mark", "by_host", "expected"),
    [
        (ShutoffReason.SHUTDOWN, MARK, False, StopReason.GUEST),
        (ShutoffReason.SHUTDOWN, STOPPING, False, StopReason.REQUESTED),
        (ShutoffReason.DESTROYED, STOPPING, False, StopReason.REQUESTED),
        (ShutoffReason.DESTROYED, MARK, False, StopReason.UNKNOWN),
        (ShutoffReason.CRASHED, MARK, False, StopReason.CRASH),
        (ShutoffReason.FAILED, MARK, False, StopReason.CRASH),
        (ShutoffReason.UNKNOWN, MARK, False, StopReason.UNKNOWN),
        (ShutoffReason.UNKNOWN, BEFORE, False, StopReason.HOST_REBOOT),
        (ShutoffReason.UNKNOWN, None, False, StopReason.UNKNOWN),
        (ShutoffReason.SHUTDOWN, BEFORE, False, StopReason.GUEST),
        (ShutoffReason.SHUTDOWN, MARK, True, StopReason.HOST_REBOOT),
        (ShutoffReason.SHUTDOWN, STOPPING, True, StopReason.REQUESTED),
    ],
)
def test_reasons(
    number: ShutoffReason, mark: DomainMark | None, *, by_host: bool, expected: StopReason
) -> None:
    assert reason(number, mark, by_host=by_host) is expected


@given(st.integers(-1, 20), st.sampled_from([MARK, BEFORE, None]), st.booleans())
def test_only_what_the_cloud_asked_for_counts_as_requested(
    number: int, mark: DomainMark | None, by_host: bool
) -> None:
    assert reason(number, mark, by_host=by_host) is not StopReason.REQUESTED


def test_unknown_events_have_a_name_too() -> None:
    assert event_name(5) == "stopped"
    assert event_name(99) == "event-99"
