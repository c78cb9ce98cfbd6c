"""Token buckets against guessing: their laws, on a clock of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratuslab.core.errors import TooManyRequests
from stratuslab.core.security.failed_logins import (
    FOR_ACCOUNT,
    FOR_REMOTE,
    MOST_BUCKETS,
    FailedLogins,
)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def _allowed(failed: FailedLogins, account: str, remote: str) -> bool:
    try:
        failed.take(account, remote)
    except TooManyRequests:
        return False
    return True


@given(st.lists(st.floats(min_value=0, max_value=30), max_size=200))
def test_never_more_than_the_burst_and_what_time_allows(pauses: list[float]) -> None:
    clock = Clock()
    failed = FailedLogins(clock=clock)
    taken = 0
    for pause in pauses:
        clock.seconds += pause
        taken += _allowed(failed, "alice", "192.0.2.1")
        assert taken <= FOR_ACCOUNT.burst + clock.seconds / FOR_ACCOUNT.every_seconds + 1e-6


def test_the_named_wait_is_enough() -> None:
    clock = Clock()
    failed = FailedLogins(clock=clock)
    while _allowed(failed, "alice", ""):
        pass
    with pytest.raises(TooManyRequests) as caught:
        failed.take("alice", "")
    clock.seconds += caught.value.details["retry_after_seconds"]
    failed.take("alice", "")


def test_many_accounts_from_one_remote_share_its_allowance() -> None:
    failed = FailedLogins(clock=Clock())
    taken = sum(_allowed(failed, f"user{n}", "192.0.2.1") for n in range(200))
    assert taken == FOR_REMOTE.burst
    assert _allowed(failed, "user0", "192.0.2.2")


def test_what_was_given_back_can_be_taken_again() -> None:
    failed = FailedLogins(clock=Clock())
    for _ in range(1000):
        failed.take("alice", "192.0.2.1")
        failed.give_back("alice", "192.0.2.1")
    assert failed._spent == {}


def test_memory_is_bounded() -> None:
    failed = FailedLogins(clock=Clock())
    for number in range(MOST_BUCKETS + 100):
        failed.take(f"user{number}", "")
    assert len(failed._spent) == MOST_BUCKETS
