"""How often and how soon an event is delivered again, and when it is given up.

Pure; every adapter judges by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stratuslab.core.bus.envelope import TRACE
from stratuslab.core.errors import PermanentError, TransientError


@dataclass(frozen=True)
class DeliveryLimits:
    """How patient the bus is with handlers."""

    max_deliveries: int = 5
    backoff_seconds: tuple[float, ...] = (1.0, 5.0, 30.0, 120.0)
    """Before the second delivery, the third and so on; the last one repeats."""
    ack_wait_seconds: float = 30.0
    """Without a sign of life for so long, the event goes to another process."""

    def backoff(self, deliveries: int) -> float:
        """The pause after this many deliveries."""
        return self.backoff_seconds[min(deliveries, len(self.backoff_seconds)) - 1]


@dataclass(frozen=True)
class Again:
    """Deliver it again after a pause."""

    after_seconds: float


@dataclass(frozen=True)
class GiveUp:
    """Make it a dead letter."""

    reason: str


def judge(error: Exception, deliveries: int, limits: DeliveryLimits) -> Again | GiveUp:
    """What becomes of an event whose handler raised, at its delivery of this number."""
    if isinstance(error, PermanentError):
        return GiveUp(str(error))
    if deliveries >= limits.max_deliveries:
        if isinstance(error, TransientError):
            return GiveUp(str(error))
        # Its text may hold anything; it is in the consumer's log.
        return GiveUp(f"{type(error).__name__} in the consumer; its log tells more.")
    least = error.retry_after_seconds or 0.0 if isinstance(error, TransientError) else 0.0
    return Again(max(least, limits.backoff(deliveries)))


def trace_of(headers: Mapping[str, str]) -> dict[str, str]:
    """What to put into the log context while a message is handled."""
    trace = headers.get(f"ce-{TRACE}")
    return {TRACE: trace} if trace else {}
