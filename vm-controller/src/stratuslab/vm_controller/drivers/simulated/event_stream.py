"""The stream of life-cycle events that a simulated host's driver hands out.

It must not know what happens on the host: it is fed, and asks for the news of other processes.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Self

from stratuslab.vm_controller.drivers.base import DomainEvent

_POLL_SECONDS: Final = 0.04
_MAX_PENDING: Final = 20_000


class EventStream:
    """Iterates over events from its construction on, until it is closed.

    What this process does is delivered at once. While somebody waits for an event, `look` is
    called every 40 ms, and when a shutdown is due: it feeds in what other processes did, and
    returns when the next guest will have shut down (wall clock seconds).
    Somebody too slow for 20,000 pending events is told to look at all.
    """

    def __init__(self, look: Callable[[], float | None]) -> None:
        self._look = look
        self._pending: deque[DomainEvent] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    def feed(self, event: DomainEvent) -> None:
        """Deliver an event."""
        if len(self._pending) >= _MAX_PENDING:
            self._pending.clear()
            event = DomainEvent(id=None, what="overflow")
        self._pending.append(event)
        self._wake.set()

    def close(self) -> None:
        """End the iteration once what is pending was delivered."""
        self._closed = True
        self._wake.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> DomainEvent:
        while not self._pending:
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            next_end = self._look()
            if not self._wake.is_set():
                await self._wait(next_end)
        return self._pending.popleft()

    async def _wait(self, next_end: float | None) -> None:
        seconds = _POLL_SECONDS
        if next_end is not None and (left := next_end - time.time()) > 0:
            seconds = min(left, _POLL_SECONDS)
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
