"""A queue of keys that coalesces: a key waits at most once and is worked on by one at a time.

It holds no payload, on purpose: whoever takes a key re-reads the world.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque


class KeyQueue:
    """Keys to look at, now or later. For one event loop."""

    def __init__(self) -> None:
        self._ready: deque[str] = deque()
        self._waiting: set[str] = set()
        self._working: set[str] = set()
        self._again: set[str] = set()
        self._timers: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._wakeup = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready) + len(self._working) + len(self._due)

    @property
    def depth(self) -> int:
        """Keys that could be worked on at once."""
        return len(self._ready)

    def wake(self, key: str, after_seconds: float = 0.0) -> None:
        """Look at this key, now or after a while; an earlier wish wins over a later one."""
        if after_seconds > 0:
            self._wake_later(key, asyncio.get_running_loop().time() + after_seconds)
            return
        self._due.pop(key, None)
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._wakeup.set()

    async def take(self, limit: int = 1) -> list[str]:
        """Waits for at least one key; they count as being worked on until `done`."""
        while not self._ready:
            self._wakeup.clear()
            await self._wakeup.wait()
        taken: list[str] = []
        while self._ready and len(taken) < limit:
            key = self._ready.popleft()
            self._waiting.discard(key)
            self._working.add(key)
            taken.append(key)
        return taken

    def done(self, key: str) -> None:
        """The work on this key is over; a wish that came meanwhile makes it ready again."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.wake(key)

    def close(self) -> None:
        """Forgets all timers."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._timers.clear()
        self._due.clear()

    def _wake_later(self, key: str, due: float) -> None:
        if key in self._waiting or self._due.get(key, float("inf")) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._timers, (due, key))
        self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            if self._timers and self._timers[0][0] >= self._alarm.when():
                return
            self._alarm.cancel()
            self._alarm = None
        if self._timers:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_at(self._timers[0][0], self._ring)

    def _ring(self) -> None:
        self._alarm = None
        present = asyncio.get_running_loop().time()
        while self._timers and self._timers[0][0] <= present:
            due, key = heapq.heappop(self._timers)
            if self._due.get(key) == due:
                del self._due[key]
                self.wake(key)
        self._set_alarm()
