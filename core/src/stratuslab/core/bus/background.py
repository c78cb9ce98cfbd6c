"""Tasks that run beside a body and end with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_CANCEL_AGAIN_SECONDS = 0.1


class Background:
    """The tasks of one body. A task that fails cancels the body."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self.running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Runs this until it ends, or the body does."""
        task = self._group.create_task(work)
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return task


@asynccontextmanager
async def background() -> AsyncIterator[Background]:
    """Tasks that are cancelled at the end of the body.

    A lone exception, the body's or a task's, comes out as it is and not in a group.
    """
    try:
        async with asyncio.TaskGroup() as group:
            beside = Background(group)
            try:
                yield beside
            finally:
                await end(beside.running)
    except BaseExceptionGroup as several:
        raise only(several) from None


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels the tasks and waits for them.

    It cancels again until they end: nats-py swallows a cancellation that comes while it flushes.
    """
    while pending := {task for task in tasks if not task.done()}:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_CANCEL_AGAIN_SECONDS)


def only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception in a group of one, else the group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
