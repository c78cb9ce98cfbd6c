"""The store as services use it: reads straight from the file, writes through the owner.

After a write whose fate is unknown the document is read again: when it holds exactly the bytes
that were to be written, the write counts as done; otherwise the caller gets `Ambiguous`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from stratuslab.core.contracts.messages import Event
from stratuslab.core.documents.frame import Document
from stratuslab.core.documents.kinds import Kind, kind_named
from stratuslab.core.errors import Ambiguous, InvalidRequest, NotFound, Unavailable
from stratuslab.core.store.base import (
    MAX_PAGE,
    Change,
    Insert,
    KeyPage,
    OutboxEntry,
    Page,
    Put,
    Query,
    Remove,
    Replace,
    Revision,
    Stored,
    StoreIdentity,
    Write,
)
from stratuslab.core.store.paging import cursor_text, selection
from stratuslab.core.store.reading import readable, stored
from stratuslab.core.store.sqlite.client import OwnerClient
from stratuslab.core.store.sqlite.metrics import AMBIGUOUS
from stratuslab.core.store.sqlite.reader import Reader, Row
from stratuslab.core.store.sqlite.wire import Apply, Published, TakeNumbers
from stratuslab.core.store.updating import update_document
from stratuslab.core.store.writes import EncodedWrite, encoded, encoded_group, outbox_entries

D = TypeVar("D", bound=Document)
T = TypeVar("T")

SCAN_ROWS = 256


class SqliteStore:
    """The store in a folder whose owner runs in this process or another on this host."""

    def __init__(
        self, folder: Path, *, patience_seconds: float = 5.0, answer_seconds: float = 10.0
    ) -> None:
        """`patience_seconds`: how long to wait for an owner that is away, when opening and before
        each write; `answer_seconds`: how long for the answer to a write before it is Ambiguous.
        """
        self._folder = folder
        self._client = OwnerClient(
            folder,
            patience_seconds=patience_seconds,
            answer_seconds=answer_seconds,
            reached=self._wake_watchers,
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._aside: Reader | None = None
        self._changed = asyncio.Event()
        self._open = False

    async def __aenter__(self) -> Self:
        """Waits for the owner. Raises Unavailable when there is none for too long."""
        await self._client.__aenter__()
        try:
            self._reader = Reader(self._folder)
        except BaseException:
            await self._client.__aexit__(None, None, None)
            raise
        self._open = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open = False
        self._changed.set()
        await self._client.__aexit__(None, None, None)
        if self._aside is not None:
            self._aside.interrupt()
        self._thread.shutdown()
        if self._aside is not None:
            self._aside.close()
        self._reader.close()

    # Reading

    async def identity(self) -> StoreIdentity:
        meta = self._reader.meta()
        return StoreIdentity(meta.cloud_id, meta.epoch, meta.sequence)

    async def get(self, kind: Kind[D], id: str) -> Stored[D]:
        row = self._reader.get(kind, id)
        if row is None:
            raise NotFound(f"There is no {kind.name} {id}.", kind=kind.name, id=id)
        return stored(kind, id, str(row[0]), row[1])

    async def find(self, kind: Kind[D], id: str) -> Stored[D] | None:
        row = self._reader.get(kind, id)
        if row is None:
            return None
        return stored(kind, id, str(row[0]), row[1])

    async def get_many(self, kind: Kind[D], ids: Sequence[str]) -> dict[str, Stored[D]]:
        if len(ids) > MAX_PAGE:
            raise InvalidRequest(f"At most {MAX_PAGE} documents can be read at once.")
        rows = ((id, str(rev), body) for id, rev, body in self._reader.get_many(kind, ids))
        found = {each.document.id: each for each in readable(kind, rows)}
        return {id: found[id] for id in ids if id in found}

    async def revision(self, kind: Kind[D], id: str) -> str | None:
        rev = self._reader.revision(kind, id)
        return None if rev is None else str(rev)

    async def list_revisions(self, query: Query[D]) -> KeyPage:
        rows, following = await self._page(query, bodies=False)
        return KeyPage([Revision(row[0], str(row[2])) for row in rows], following)

    async def count(self, query: Query[D]) -> int:
        plan = self._reader.count_plan(query.kind, selection(query))
        if plan.light:
            return self._reader.count(plan)
        return await self._in_thread(lambda reader: reader.count(plan))

    async def scan(self, kind: Kind[D]) -> AsyncIterator[Stored[D]]:
        query = Query(kind, limit=SCAN_ROWS)
        plan = self._reader.plan(kind, selection(query))
        while True:
            read = partial(Reader.page, plan=plan, limit=SCAN_ROWS, bodies=True)
            rows = await self._in_thread(read)
            for each in readable(kind, _with_bodies(rows)):
                yield each
            if len(rows) < SCAN_ROWS:
                return
            after = cursor_text(query.order_by, None, rows[-1][0])
            plan = plan._replace(asked=selection(Query(kind, after=after, limit=SCAN_ROWS)))

    async def _page(self, query: Query[D], *, bodies: bool) -> tuple[list[Row], str | None]:
        asked = selection(query)
        plan = self._reader.plan(query.kind, asked)
        limit = asked.limit + 1
        if plan.light:
            rows = self._reader.page(plan, limit, bodies=bodies)
        else:
            rows = await self._in_thread(
                partial(Reader.page, plan=plan, limit=limit, bodies=bodies)
            )
        if len(rows) < limit:
            return rows, None
        rows.pop()
        value = rows[-1][1]
        if plan.asked.field is None:
            value = asked.where.get(asked.field) if asked.field else None
        return rows, cursor_text(query.order_by, value, rows[-1][0])

    async def _in_thread(self, read: Callable[[Reader], T]) -> T:
        """For what touches many rows: one at a time, beside the event loop."""

        def run() -> T:
            if not self._open:
                raise Unavailable("The document store was closed.")
            if self._aside is None:
                self._aside = Reader(self._folder)
            return read(self._aside)

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    # Writing

    async def insert(
        self, document: D, *, events: Sequence[Event] = (), ttl_seconds: float | None = None
    ) -> Stored[D]:
        return await self._write(Insert(document, events, ttl_seconds), document)

    async def replace(
        self, was: Stored[D], document: D, *, events: Sequence[Event] = ()
    ) -> Stored[D]:
        return await self._write(Replace(was, document, events), document)

    async def update(
        self, kind: Kind[D], id: str, change: Callable[[D], Sequence[Event] | None]
    ) -> Stored[D]:
        return await update_document(self, kind, id, change)

    async def remove(self, was: Stored[D], *, events: Sequence[Event] = ()) -> None:
        await self._apply([encoded(Remove(was, events))])

    async def put(self, document: D, *, ttl_seconds: float | None = None) -> None:
        await self._apply([encoded(Put(document, ttl_seconds))])

    async def atomic(self, writes: Sequence[Write]) -> list[str]:
        return await self._apply(encoded_group(writes)) if writes else []

    async def counter(self, name: str, block: int = 1) -> int:
        if block < 1:
            raise ValueError("a block has at least one number")
        done = await self._client.ask(TakeNumbers(self._client.next_number(), name, block))
        first = done.values[0]
        assert isinstance(first, int)
        return first

    async def _write(self, write: Insert | Replace, document: D) -> Stored[D]:
        ready = encoded(write)
        assert ready.body is not None
        [rev] = await self._apply([ready])
        return Stored(document, rev, ready.body)

    async def _apply(self, writes: list[EncodedWrite]) -> list[str]:
        try:
            done = await self._client.ask(Apply(self._client.next_number(), writes))
        except Ambiguous:
            revs = self._found_done(writes)
            AMBIGUOUS.labels("no" if revs is None else "yes").inc()
            if revs is None:
                raise
            return revs
        return [str(value) for value in done.values]

    def _found_done(self, writes: Sequence[EncodedWrite]) -> list[str] | None:
        """The revisions, if every one of the writes is found in the store."""
        revs: list[str] = []
        for write in writes:
            row = self._reader.get(kind_named(write.kind), write.id)
            if (None if row is None else row[1]) != write.body:
                return None
            revs.append("" if row is None else str(row[0]))
        return revs

    # The change log

    def watch(self) -> AsyncIterator[Change]:
        return self._watch(self._reader.meta().sequence)

    async def _watch(self, seen: int) -> AsyncIterator[Change]:
        """Follows the log in the file; the owner only says that there is more to read."""
        await self._client.watch()
        while self._open:
            changed = self._changed
            changes = self._reader.changes(seen, MAX_PAGE)
            if not changes:
                await changed.wait()
            elif changes[0].sequence != seen + 1:
                raise Unavailable(
                    f"The watcher is too slow: changes after {seen} are no longer in the log.",
                    hint="Watch again and look at everything once.",
                )
            for change in changes:
                seen = change.sequence
                yield change

    def _wake_watchers(self, _reached: int | None) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def changes(self, after: int, limit: int = 1000) -> list[Change]:
        if limit < 1:
            raise InvalidRequest(f"At least one change can be asked for, not {limit}.")
        return self._reader.changes(after, limit)

    async def outbox(self, limit: int = 256) -> list[OutboxEntry]:
        entries: list[OutboxEntry] = []
        rows = self._reader.unpublished(limit)
        if rows:
            cloud_id = self._reader.meta().cloud_id
            for sequence, events in rows:
                if len(entries) >= limit:
                    break
                entries += outbox_entries(cloud_id, sequence, events)
        return entries

    async def published(self, sequence: int) -> None:
        await self._client.ask(Published(self._client.next_number(), sequence))

    # Last, because inside this class its name hides the built-in type from here on.
    async def list(self, query: Query[D]) -> Page[D]:
        rows, following = await self._page(query, bodies=True)
        return Page(readable(query.kind, _with_bodies(rows)), following)


def _with_bodies(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, str, bytes]]:
    return ((row[0], str(row[2]), row[3]) for row in rows)
