"""How long to wait before a program that ended is started again. Pure.

The pauses double from a short first one to a longest one, so that a program that cannot run
does not keep the machine busy, and begin anew after a run that lasted.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
STABLE_SECONDS = 30.0
"""A program that ran so long has worked: what made it end is something new."""


@dataclass(frozen=True)
class Restarts:
    """How often a program was started again, all in all and since it last ran for long."""

    total: int = 0
    in_a_row: int = 0

    def after_run(self, seconds: float) -> Restarts:
        """The count once a run of this length has ended."""
        in_a_row = 1 if seconds >= STABLE_SECONDS else self.in_a_row + 1
        return Restarts(self.total + 1, in_a_row)

    def pause_seconds(self, chance: float) -> float:
        """How long to wait now. `chance` in [0, 1) keeps programs from starting in step."""
        doubled = FIRST_PAUSE_SECONDS * 2.0 ** min(self.in_a_row - 1, 20)
        longest = min(doubled, LONGEST_PAUSE_SECONDS)
        return longest * (0.5 + chance / 2)
