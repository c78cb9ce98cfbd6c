"""A bounded queue of wake-ups that drops the oldest when it is full."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from stratuslab.core.bus.base import Message
from stratuslab.core.bus.metrics import HINTS_DROPPED

MAX_WAITING = 10_000


class HintQueue(AsyncIterator[Message]):
    """Filled by the bus, iterated by one subscriber."""

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._waiting: deque[Message] = deque(maxlen=max_waiting)
        self._filled = asyncio.Event()
        self.dropped = 0

    def put(self, message: Message) -> None:
        """Adds one; when the queue is full the oldest goes and is counted."""
        if len(self._waiting) == self._waiting.maxlen:
            self.dropped += 1
            HINTS_DROPPED.labels("receive").inc()
        self._waiting.append(message)
        self._filled.set()

    async def __anext__(self) -> Message:
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        return self._waiting.popleft()
