"""Runs `reconcile` for the keys of a queue: several keys at once, one worker per key.

Owns retries: `TransientError` and bugs come again with growing, jittered delays, a
`PermanentError` waits for the next wake-up. It must not know what a key stands for.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from stratuslab.core.errors import Conflict, PermanentError, TransientError
from stratuslab.core.reconcile.queue import KeyQueue

log = structlog.get_logger()

Reconcile = Callable[[str], Awaitable[float | None]]
"""Takes a key, does one idempotent step, returns after how many seconds to come again."""

ReconcileMany = Callable[[Sequence[str]], Awaitable[dict[str, float | None]]]
"""The same for a batch; keys left out of the answer are settled."""


@dataclass(frozen=True)
class Backoff:
    """Delays between attempts at one key, in seconds."""

    first_seconds: float = 0.1
    factor: float = 2.0
    most_seconds: float = 30.0

    def delay(self, failures: int) -> float:
        """The delay after so many failures in a row, with jitter of half of it."""
        exact = min(self.first_seconds * self.factor ** min(failures - 1, 32), self.most_seconds)
        return exact * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not cryptography


class Reconciler:
    """A queue with its workers. Run `run()` (or `run_batches()`) in the service's TaskGroup."""

    def __init__(
        self,
        name: str,
        *,
        workers: int = 16,
        timeout_seconds: float = 120.0,
        backoff: Backoff | None = None,
        on_failure: Callable[[BaseException], None] = lambda _error: None,
    ) -> None:
        self.name = name
        self.queue = KeyQueue()
        self._workers = workers
        self._timeout_seconds = timeout_seconds
        self._backoff = backoff or Backoff()
        self._on_failure = on_failure
        self._failures: dict[str, int] = {}

    def wake(self, key: str, after_seconds: float = 0.0) -> None:
        """Look at this key."""
        self.queue.wake(key, after_seconds)

    async def run(self, reconcile: Reconcile) -> None:
        """Works until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(self._work(reconcile), name=f"reconcile-{self.name}")
        finally:
            self.queue.close()

    async def run_batches(self, reconcile: ReconcileMany, *, limit: int = 256) -> None:
        """Works until cancelled, one batch at a time: whatever is ready, up to `limit` keys."""
        try:
            while True:
                keys = await self.queue.take(limit)
                try:
                    async with asyncio.timeout(self._timeout_seconds):
                        again = await reconcile(keys)
                except (Exception, asyncio.CancelledError) as error:
                    self._after_failure(keys, error)
                    if isinstance(error, asyncio.CancelledError):
                        raise
                else:
                    for key in keys:
                        self._after_success(key, again.get(key))
        finally:
            self.queue.close()

    async def _work(self, reconcile: Reconcile) -> None:
        while True:
            (key,) = await self.queue.take()
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    again = await reconcile(key)
            except asyncio.CancelledError:
                self.queue.done(key)
                raise
            except Exception as error:  # noqa: BLE001 - a bug in one key must not stop the others
                self._after_failure([key], error)
            else:
                self._after_success(key, again)

    def _after_success(self, key: str, again: float | None) -> None:
        self._failures.pop(key, None)
        self.queue.done(key)
        if again is not None:
            self.queue.wake(key, again)

    def _after_failure(self, keys: Sequence[str], error: BaseException) -> None:
        if not isinstance(error, Conflict | asyncio.CancelledError):
            self._on_failure(error)
            self._log(keys, error)
        for key in keys:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            self.queue.done(key)
            if isinstance(error, PermanentError):
                self._failures.pop(key, None)
                continue
            delay = self._backoff.delay(failures)
            if isinstance(error, Conflict):
                delay = min(delay, 0.2)
            elif isinstance(error, TransientError) and error.retry_after_seconds:
                delay = max(delay, error.retry_after_seconds)
            self.queue.wake(key, delay)

    def _log(self, keys: Sequence[str], error: BaseException) -> None:
        expected = isinstance(error, TransientError | PermanentError | TimeoutError)
        log.log(
            30 if expected else 40,
            "reconcile.failed",
            reconciler=self.name,
            key=keys[0],
            keys=len(keys),
            error=str(error) or type(error).__name__,
            failures=self._failures.get(keys[0], 0) + 1,
            exc_info=None if expected else error,
        )
