"""How often somebody may be wrong: token buckets for an account at a remote, and for a remote.

In memory and of bounded size; each process counts for itself. An attacker uses up his own
attempts only: the owner of an account, at another remote, still gets in.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from stratuslab.core.errors import TooManyRequests

MOST_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """`burst` attempts at once, then one every `every_seconds`."""

    burst: float
    every_seconds: float


FOR_ACCOUNT = Allowance(burst=10, every_seconds=3)
FOR_REMOTE = Allowance(burst=50, every_seconds=0.5)


class FailedLogins:
    """Take an attempt before the comparison, give it back when the password was right."""

    def __init__(
        self,
        *,
        for_account: Allowance = FOR_ACCOUNT,
        for_remote: Allowance = FOR_REMOTE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._for_account = for_account
        self._for_remote = for_remote
        self._clock = clock
        self._spent: OrderedDict[tuple[str, ...], tuple[float, float]] = OrderedDict()
        """How many attempts were spent, and as of when."""

    def take(self, account: str, remote: str) -> None:
        """Takes an attempt. Raises TooManyRequests, and takes none, when there is none left.

        Without a `remote` the account alone counts.
        """
        now = self._clock()
        buckets = self._buckets(account, remote)
        waits = [
            (self._level(bucket, allowance, now) + 1 - allowance.burst) * allowance.every_seconds
            for bucket, allowance in buckets
        ]
        if (wait := max(waits)) > 0:
            seconds = math.ceil(wait)
            raise TooManyRequests(
                "Too many wrong passwords.",
                hint=f"Try again in {seconds} seconds.",
                retry_after_seconds=seconds,
            )
        for bucket, allowance in buckets:
            self._put(bucket, self._level(bucket, allowance, now) + 1, now)

    def give_back(self, account: str, remote: str) -> None:
        """The attempt was no failure."""
        now = self._clock()
        for bucket, allowance in self._buckets(account, remote):
            self._put(bucket, self._level(bucket, allowance, now) - 1, now)

    def _buckets(self, account: str, remote: str) -> list[tuple[tuple[str, ...], Allowance]]:
        buckets: list[tuple[tuple[str, ...], Allowance]] = [((account, remote), self._for_account)]
        if remote:
            buckets.append(((remote,), self._for_remote))
        return buckets

    def _level(self, bucket: tuple[str, ...], allowance: Allowance, now: float) -> float:
        spent, at = self._spent.get(bucket, (0.0, now))
        return max(0.0, spent - (now - at) / allowance.every_seconds)

    def _put(self, bucket: tuple[str, ...], spent: float, now: float) -> None:
        if spent <= 0:
            self._spent.pop(bucket, None)
            return
        self._spent[bucket] = (spent, now)
        self._spent.move_to_end(bucket)
        if len(self._spent) > MOST_BUCKETS:
            self._spent.popitem(last=False)
