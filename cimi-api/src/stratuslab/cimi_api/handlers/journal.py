"""What was answered: one line in the access log and the metrics, a moment later, in batches.

Doing this for many requests together costs a third of doing it for each while its client waits.
What a process has not written yet when it is killed, at most a tenth of a second, is lost.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from stratuslab.cimi_api.metrics import REQUEST_SECONDS, REQUESTS
from stratuslab.core.service.logging import info_many

DELAY_SECONDS = 0.1
_MAX_WAITING = 1000


class Answered(NamedTuple):
    """What is worth knowing of a request that was answered."""

    method: str
    path: str
    route: str | None
    """The template of the route; None when there was none."""
    status: int
    seconds: float
    user: str | None
    remote: str


class Journal:
    """Answers waiting to be noted."""

    def __init__(self) -> None:
        self._waiting: list[Answered] = []
        self._timer: asyncio.TimerHandle | None = None
        self._metrics: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    def note(self, answered: Answered) -> None:
        """Takes an answer; it is written soon."""
        self._waiting.append(answered)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_SECONDS, self.write)
        elif len(self._waiting) >= _MAX_WAITING:
            self.write()

    def write(self) -> None:
        """Writes what is waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            self._count(each)
        info_many(
            "request.done",
            [
                {
                    "method": each.method,
                    "path": each.path,
                    "status": each.status,
                    "milliseconds": round(each.seconds * 1000, 3),
                    "user": each.user,
                    "remote": each.remote,
                }
                for each in waiting
            ],
        )

    def _count(self, answered: Answered) -> None:
        method, route = answered.method, answered.route
        if route is None:
            method, route = "any", "unrouted"
        key = (method, route, answered.status)
        metrics = self._metrics.get(key)
        if metrics is None:
            metrics = self._metrics[key] = (
                REQUESTS.labels(method, route, str(answered.status)),
                REQUEST_SECONDS.labels(method, route),
            )
        metrics[0].inc()
        metrics[1].observe(answered.seconds)
