from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stratuslab.cloud.restarts import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    STABLE_SECONDS,
    Restarts,
)

short_runs = st.floats(0, STABLE_SECONDS, exclude_max=True)
chances = st.floats(0, 1, exclude_max=True)


def after(runs: list[float]) -> Restarts:
    restarts = Restarts()
    for seconds in runs:
        restarts = restarts.after_run(seconds)
    return restarts


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), chances)
def test_pauses_stay_within_their_bounds(runs: list[float], chance: float) -> None:
    pause = after(runs).pause_seconds(chance)
    assert FIRST_PAUSE_SECONDS / 2 <= pause <= LONGEST_PAUSE_SECONDS


@given(st.lists(short_runs, min_size=1, max_size=40), short_runs, chances)
def test_pauses_never_shrink_while_runs_are_short(
    runs: list[float], another: float, chance: float
) -> None:
    before = after(runs).pause_seconds(chance)
    assert after([*runs, another]).pause_seconds(chance) >= before


@given(st.lists(short_runs, max_size=40), st.floats(STABLE_SECONDS, 1e6), chances)
def test_a_long_run_begins_anew_but_is_counted(
    runs: list[float], long: float, chance: float
) -> None:
    restarts = after([*runs, long])
    assert restarts.pause_seconds(chance) <= FIRST_PAUSE_SECONDS
    assert restarts.total == len(runs) + 1


def test_pauses_double() -> None:
    pauses = [after([0.0] * number).pause_seconds(0.0) for number in range(1, 9)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
