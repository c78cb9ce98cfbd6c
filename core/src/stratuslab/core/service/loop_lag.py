"""How late the event loop is: long blocking calls and overload show here first."""

from __future__ import annotations

import asyncio

from stratuslab.core.service.metrics import LOOP_LAG_SECONDS

EVERY_SECONDS = 1.0
FORGET_HALF = 0.97
"""Per measurement: the worst lag fades to half in about 25 s."""


class LoopLag:
    """The last and the fading worst delay of a timer."""

    def __init__(self) -> None:
        self.last_seconds = 0.0
        self.worst_seconds = 0.0

    async def measure(self) -> None:
        """Measures until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + EVERY_SECONDS
            await asyncio.sleep(EVERY_SECONDS)
            self.last_seconds = max(0.0, loop.time() - due)
            self.worst_seconds = max(self.last_seconds, self.worst_seconds * FORGET_HALF)
            LOOP_LAG_SECONDS.set(self.last_seconds)
