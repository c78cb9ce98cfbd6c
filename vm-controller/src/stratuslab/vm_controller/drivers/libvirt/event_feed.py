"""Hands domain events to any number of listeners; none can make another one wait.

Lives on the asyncio loop. A listener that does not keep up loses single events and gets one
with id None instead: look at everything.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Self
from weakref import WeakSet

from stratuslab.vm_controller.drivers.base import DomainEvent

MAX_WAITING = 1000


class EventFeed:
    """One per driver."""

    def __init__(self) -> None:
        self._listeners: WeakSet[_Listener] = WeakSet()
        self._closed = False

    def listen(self) -> AsyncIterator[DomainEvent]:
        """Events from this call on, until the feed closes."""
        listener = _Listener()
        if self._closed:
            listener.close()
        else:
            self._listeners.add(listener)
        return listener

    def publish(self, event: DomainEvent) -> None:
        """Give the event to every listener."""
        for listener in list(self._listeners):
            listener.put(event)

    def close(self) -> None:
        """End every listener's iteration, after what it has not read yet."""
        self._closed = True
        for listener in list(self._listeners):
            listener.close()


class _Listener:
    def __init__(self) -> None:
        self._waiting: deque[DomainEvent] = deque()
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, event: DomainEvent) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.clear()
            event = DomainEvent(id=None, what="overflow")
        self._waiting.append(event)
        self._changed.set()

    def close(self) -> None:
        self._closed = True
        self._changed.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> DomainEvent:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()
