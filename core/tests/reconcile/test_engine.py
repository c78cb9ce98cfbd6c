"""The reconcile engine: retries, batches, cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from eventually import eventually

from stratuslab.core.errors import PermanentError, Unavailable
from stratuslab.core.reconcile.engine import Backoff, Reconciler

QUICK = Backoff(first_seconds=0.001, most_seconds=0.002)


async def test_transient_errors_and_bugs_are_tried_again_permanent_ones_wait() -> None:
    calls: dict[str, int] = {}
    reconciler = Reconciler("test", backoff=QUICK)

    async def reconcile(key: str) -> None:
        calls[key] = calls.get(key, 0) + 1
        if key == "permanent":
            raise PermanentError("never")
        if calls[key] < 4:
            raise Unavailable("not now") if key == "transient" else ZeroDivisionError("bug")

    task = asyncio.create_task(reconciler.run(reconcile))
    for key in ("transient", "bug", "permanent"):
        reconciler.wake(key)
    await eventually(lambda: calls.get("transient") == 4 and calls.get("bug") == 4)
    assert calls["permanent"] == 1
    reconciler.wake("permanent")
    await eventually(lambda: calls["permanent"] == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_step_that_asks_to_be_called_again_is() -> None:
    steps: list[float] = []
    reconciler = Reconciler("test")

    async def reconcile(key: str) -> float | None:
        steps.append(asyncio.get_running_loop().time())
        return 0.01 if len(steps) < 3 else None

    task = asyncio.create_task(reconciler.run(reconcile))
    reconciler.wake("a")
    await eventually(lambda: len(steps) == 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_step_that_never_ends_is_cut_off_and_tried_again() -> None:
    calls = 0
    reconciler = Reconciler("test", timeout_seconds=0.02, backoff=QUICK)

    async def reconcile(key: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.Event().wait()

    task = asyncio.create_task(reconciler.run(reconcile))
    reconciler.wake("a")
    await eventually(lambda: calls == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_batches_take_what_is_ready_and_repeat_what_is_asked() -> None:
    batches: list[list[str]] = []
    reconciler = Reconciler("test", backoff=QUICK)

    async def reconcile(keys: Sequence[str]) -> dict[str, float | None]:
        batches.append(sorted(keys))
        if len(batches) == 1:
            return {"b": 0.001}
        if len(batches) == 2:
            raise Unavailable("not now")
        return {}

    for key in ("a", "b", "c"):
        reconciler.wake(key)
    task = asyncio.create_task(reconciler.run_batches(reconcile))
    await eventually(lambda: len(batches) == 3)
    assert batches == [["a", "b", "c"], ["b"], ["b"]]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
