"""Small sequential numbers, taken from the store in blocks."""

from __future__ import annotations

import asyncio

from stratuslab.core.store import Store


class Numbers:
    """Numbers of one counter. Each is given out once in the whole cloud; gaps are allowed."""

    def __init__(self, store: Store, name: str, *, block: int = 16) -> None:
        self._store = store
        self._name = name
        self._block = block
        self._next = self._end = 0
        self._refill = asyncio.Lock()

    async def take(self) -> int:
        """The next number, from 1. Raises Unavailable or Ambiguous."""
        while self._next == self._end:
            async with self._refill:
                if self._next == self._end:
                    first = await self._store.counter(self._name, self._block)
                    self._next, self._end = first, first + self._block
        number = self._next
        self._next += 1
        return number
