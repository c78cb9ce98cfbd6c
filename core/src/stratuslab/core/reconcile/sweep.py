"""Sweeps: periodic passes over an index of unsettled documents, for what hints did not reach.

Each replica does the hash shards whose lease it gets, so that a pass is done once in the cloud;
a pass that finds nothing writes nothing but its lease. Passes begin with jitter and grow rarer
with the number of keys found.
"""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeVar

import structlog

from stratuslab.core import leases
from stratuslab.core.contracts.coordination import LEASE
from stratuslab.core.documents.frame import Document, now
from stratuslab.core.errors import StratusLabError
from stratuslab.core.store.base import MAX_PAGE, Query, Store

log = structlog.get_logger()

D = TypeVar("D", bound=Document)


def shard_of(key: str, shards: int) -> int:
    """The shard of a key, the same in every process."""
    return zlib.crc32(key.encode()) % shards


@asynccontextmanager
async def duty(
    store: Store,
    name: str,
    holder: str,
    *,
    every_seconds: float,
    longest_seconds: float = 60.0,
    early: bool = False,
) -> AsyncIterator[bool]:
    """A periodic duty that one process in the cloud does at a time.

    Yields whether it is this process's turn now; after the block the duty rests `every_seconds`.
    `early`: also while it rests, because this process has only just begun to hear hints.
    """
    present = await store.find(LEASE, name)
    if present is not None:
        due, expires = present.document.due, present.document.expires
        busy = expires is not None and expires > now() and present.document.holder != holder
        if busy or (due is not None and due > now() and not early):
            yield False
            return
    held = await leases.acquire(store, name, holder, ttl_seconds=longest_seconds)
    if held is None:
        yield False
        return
    yield True
    await leases.release(store, held, due=now() + timedelta(seconds=every_seconds))


class Sweep:
    """Wakes the keys of a query, page by page. Run `run()` in the service's TaskGroup."""

    def __init__(
        self,
        name: str,
        store: Store,
        query: Query[D],
        wake: Callable[[str], None],
        *,
        every_seconds: float,
        shards: int = 0,
        holder: str = "",
        seconds_per_key: float = 0.0005,
    ) -> None:
        """`shards` 0: the keys are this process's own, no leases are needed."""
        self._name = name
        self._store = store
        self._query = query
        self._wake = wake
        self._every_seconds = every_seconds
        self._shards = shards
        self._holder = holder
        self._seconds_per_key = seconds_per_key
        self._now = asyncio.Event()
        self._early = True

    def soon(self) -> None:
        """Begin the next pass at once: after a reconnect, say."""
        self._early = True
        self._now.set()

    async def run(self) -> None:
        """Sweeps until cancelled, the first time at once."""
        pause = random.uniform(0, 0.1)  # noqa: S311 - jitter, not cryptography
        while True:
            try:
                async with asyncio.timeout(pause):
                    await self._now.wait()
            except TimeoutError:
                pass
            self._now.clear()
            found = 0
            try:
                found = await self.once()
            except StratusLabError as error:
                log.warning("sweep.failed", sweep=self._name, error=str(error))
            longest = self._every_seconds + found * self._seconds_per_key
            pause = longest * random.uniform(0.8, 1.2)  # noqa: S311 - jitter

    async def once(self) -> int:
        """One pass over what is this process's; returns the number of keys woken."""
        if not self._shards:
            return await self._pass(None)
        found = 0
        for shard in random.sample(range(self._shards), self._shards):
            name = f"sweep/{self._name}/{shard}"
            async with duty(
                self._store,
                name,
                self._holder,
                every_seconds=self._every_seconds * 0.9,
                early=self._early,
            ) as mine:
                if mine:
                    found += await self._pass(shard)
        self._early = False
        return found

    async def _pass(self, shard: int | None) -> int:
        found = 0
        after: str | None = None
        while True:
            page = await self._store.list_revisions(
                Query(
                    self._query.kind,
                    self._query.where,
                    order_by=self._query.order_by,
                    after=after,
                    limit=MAX_PAGE,
                )
            )
            for revision in page.items:
                if shard is None or shard_of(revision.id, self._shards) == shard:
                    self._wake(revision.id)
                    found += 1
            after = page.next
            if after is None:
                return found
            await asyncio.sleep(0)
