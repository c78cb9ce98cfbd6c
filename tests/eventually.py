"""Waiting in tests: for a condition, with a deadline, never for a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable


async def eventually(
    condition: Callable[[], object | Awaitable[object]],
    *,
    seconds: float = 10.0,
    every_seconds: float = 0.01,
    what: str = "the condition",
) -> object:
    """The first true value of the condition. Fails after `seconds`, telling the last value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < end, f"{what} did not come true in {seconds} s; last: {value!r}"
        await asyncio.sleep(every_seconds)
