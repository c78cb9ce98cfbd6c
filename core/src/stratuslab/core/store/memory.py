"""The document store in memory: for unit tests and trials; it forgets with the process.

The same promises as every adapter (`base.py`). Documents are kept as bytes, so that nobody
shares an object with the store; finding is by going through all of them, which is fine for
some thousands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar
from uuid import uuid4

from stratuslab.core.contracts.messages import Event
from stratuslab.core.documents.codec import decode
from stratuslab.core.documents.frame import Document
from stratuslab.core.documents.kinds import FieldValue, Kind, kind_named
from stratuslab.core.errors import (
    AlreadyExists,
    Conflict,
    InvalidRequest,
    NotFound,
    Unavailable,
)
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
from stratuslab.core.store.indexing import field_values, readers
from stratuslab.core.store.paging import Selection, cursor_text, selection, sort_key
from stratuslab.core.store.reading import readable, stored
from stratuslab.core.store.updating import update_document
from stratuslab.core.store.writes import EncodedWrite, encoded, encoded_group, outbox_entries

D = TypeVar("D", bound=Document)

KEPT_CHANGES = 100_000


class _Row(NamedTuple):
    rev: str
    body: bytes
    values: dict[str, FieldValue]
    readers: frozenset[str]
    expires: float | None


class MemoryStore:
    """A store in this process. `clock` is the wall clock that ends lives (ttl)."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        *,
        cloud_id: str | None = None,
        epoch: int = 1,
        kept_changes: int = KEPT_CHANGES,
    ) -> None:
        self._clock = clock
        self._cloud_id = cloud_id or uuid4().hex
        self._epoch = epoch
        self._kept_changes = kept_changes
        self._rows: dict[str, dict[str, _Row]] = {}
        self._sequence = 0
        self._volatile_sequence = 0
        self._changes: dict[int, Change] = {}
        self._events: dict[int, bytes] = {}
        self._counters: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._open = False

    async def __aenter__(self) -> Self:
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

    # Reading

    async def identity(self) -> StoreIdentity:
        return StoreIdentity(self._cloud_id, self._epoch, self._sequence)

    async def get(self, kind: Kind[D], id: str) -> Stored[D]:
        found = await self.find(kind, id)
        if found is None:
            raise NotFound(f"There is no {kind.name} {id}.", kind=kind.name, id=id)
        return found

    async def find(self, kind: Kind[D], id: str) -> Stored[D] | None:
        row = self._present(kind.name, id)
        return None if row is None else stored(kind, id, row.rev, row.body)

    async def get_many(self, kind: Kind[D], ids: Sequence[str]) -> dict[str, Stored[D]]:
        if len(ids) > MAX_PAGE:
            raise InvalidRequest(f"At most {MAX_PAGE} documents can be read at once.")
        present = ((id, self._present(kind.name, id)) for id in ids)
        rows = [(id, row.rev, row.body) for id, row in present if row is not None]
        return {each.document.id: each for each in readable(kind, rows)}

    async def revision(self, kind: Kind[D], id: str) -> str | None:
        row = self._present(kind.name, id)
        return None if row is None else row.rev

    async def list_revisions(self, query: Query[D]) -> KeyPage:
        rows, following = self._page(query)
        return KeyPage([Revision(id, row.rev) for id, row in rows], following)

    async def count(self, query: Query[D]) -> int:
        asked = selection(query)
        return sum(1 for _ in self._matching(query.kind, asked))

    async def scan(self, kind: Kind[D]) -> AsyncIterator[Stored[D]]:
        for id in sorted(self._rows.get(kind.name, {})):
            row = self._present(kind.name, id)
            if row is not None:
                for each in readable(kind, [(id, row.rev, row.body)]):
                    yield each

    def _present(self, kind: str, id: str) -> _Row | None:
        row = self._rows.get(kind, {}).get(id)
        if row is None or (row.expires is not None and row.expires <= self._clock()):
            return None
        return row

    def _matching(self, kind: Kind[Any], asked: Selection) -> Iterator[tuple[str, _Row]]:
        principals = None if asked.principals is None else frozenset(asked.principals)
        for id in self._rows.get(kind.name, {}):
            row = self._present(kind.name, id)
            if (
                row is not None
                and all(row.values[name] == value for name, value in asked.where.items())
                and (principals is None or principals & row.readers)
            ):
                yield id, row

    def _page(self, query: Query[Any]) -> tuple[list[tuple[str, _Row]], str | None]:
        asked = selection(query)

        def place(id: str, row: _Row) -> tuple[int, int | str, str]:
            return sort_key(row.values[asked.field] if asked.field else None, id)

        rows = sorted(
            self._matching(query.kind, asked),
            key=lambda found: place(*found),
            reverse=asked.descending,
        )
        if asked.after is not None:
            value = asked.after.value if asked.field else None
            last = sort_key(value, asked.after.id)
            if asked.descending:
                rows = [each for each in rows if place(*each) < last]
            else:
                rows = [each for each in rows if place(*each) > last]
        page = rows[: asked.limit]
        if len(rows) <= asked.limit:
            return page, None
        id, row = page[-1]
        value = row.values[asked.field] if asked.field else None
        return page, cursor_text(query.order_by, value, id)

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
        return await self._apply(encoded_group(writes))

    async def counter(self, name: str, block: int = 1) -> int:
        if block < 1:
            raise ValueError("a block has at least one number")
        first = self._counters.get(name, 1)
        self._counters[name] = first + block
        return first

    async def _write(self, write: Insert | Replace, document: D) -> Stored[D]:
        ready = encoded(write)
        assert ready.body is not None
        [rev] = await self._apply([ready])
        return Stored(document, rev, ready.body)

    async def _apply(self, writes: Sequence[EncodedWrite]) -> list[str]:
        await asyncio.sleep(0)  # as with a real store, others may come in between
        before = {kind: dict(rows) for kind, rows in self._rows.items()} if writes[1:] else None
        marks = self._sequence, self._volatile_sequence
        try:
            revs = [self._apply_one(write) for write in writes]
        except BaseException:
            if before is not None:
                self._rows = before
                self._sequence, self._volatile_sequence = marks
                for log in (self._changes, self._events):
                    for sequence in [each for each in log if each > self._sequence]:
                        del log[sequence]
            raise
        self._prune()
        self._changed.set()
        self._changed = asyncio.Event()
        return revs

    def _apply_one(self, write: EncodedWrite) -> str:
        kind = kind_named(write.kind)
        rows = self._rows.setdefault(write.kind, {})
        present = self._present(write.kind, write.id)
        if write.operation == "insert" and present is not None:
            raise AlreadyExists(f"{kind.key(write.id)} exists.", kind=kind.name, id=write.id)
        if write.operation in ("replace", "remove"):
            if present is None:
                raise NotFound(f"There is no {kind.name} {write.id}.", kind=kind.name, id=write.id)
            if present.rev != write.rev:
                raise Conflict(f"{kind.key(write.id)} was changed by somebody else.")
        row = None if write.body is None else self._row(kind, write, write.body, present)
        if present is None and write.id in rows:
            del rows[write.id]
            self._log(kind, write.id, "remove", None)
        if row is None:
            del rows[write.id]
            self._log(kind, write.id, "remove", write.events)
            return ""
        operation = "insert" if present is None else "replace"
        rev = self._log(kind, write.id, operation, write.events)
        rows[write.id] = row._replace(rev=rev)
        return rev

    def _row(self, kind: Kind[Any], write: EncodedWrite, body: bytes, present: _Row | None) -> _Row:
        document = decode(kind.type, body, kind.key(write.id))
        values = dict(zip(kind.by_name, field_values(kind, document), strict=True))
        for field in kind.fields:
            value = values[field.name]
            if not field.unique or value is None:
                continue
            for id, other in self._rows[kind.name].items():
                if id != write.id and other.values[field.name] == value:
                    if self._present(kind.name, id) is None:
                        continue
                    raise AlreadyExists(
                        f"Another {kind.name} has the {field.name} {value}.",
                        kind=kind.name,
                        field=field.name,
                    )
        expires = None
        if write.ttl_seconds is not None:
            expires = self._clock() + write.ttl_seconds
        elif write.operation == "replace" and present is not None:
            expires = present.expires
        return _Row("", body, values, frozenset(readers(kind, document)), expires)

    def _log(self, kind: Kind[Any], id: str, operation: str, events: bytes | None) -> str:
        if kind.volatile:
            self._volatile_sequence += 1
            return str(self._volatile_sequence)
        self._sequence += 1
        rev = "" if operation == "remove" else str(self._sequence)
        change = Change(self._sequence, kind.name, id, rev, operation)
        self._changes[self._sequence] = change
        if events is not None:
            self._events[self._sequence] = events
        return rev

    # The change log

    def watch(self) -> AsyncIterator[Change]:
        return self._watch(self._sequence)

    async def _watch(self, seen: int) -> AsyncIterator[Change]:
        while self._open:
            changed = self._changed
            changes = await self.changes(seen)
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

    async def changes(self, after: int, limit: int = 1000) -> list[Change]:
        if limit < 1:
            raise InvalidRequest(f"At least one change can be asked for, not {limit}.")
        following = range(max(after + 1, min(self._changes, default=1)), self._sequence + 1)
        return [self._changes[sequence] for sequence in following[:limit]]

    async def outbox(self, limit: int = 256) -> list[OutboxEntry]:
        entries: list[OutboxEntry] = []
        for sequence in sorted(self._events):
            if len(entries) >= limit:
                break
            entries += outbox_entries(self._cloud_id, sequence, self._events[sequence])
        return entries

    async def published(self, sequence: int) -> None:
        for each in [each for each in self._events if each <= sequence]:
            del self._events[each]

    def _prune(self) -> None:
        first_unpublished = min(self._events, default=self._sequence + 1)
        while len(self._changes) > self._kept_changes:
            oldest = next(iter(self._changes))
            if oldest >= first_unpublished:
                break
            del self._changes[oldest]

    # Last, because inside this class its name hides the built-in type from here on.
    async def list(self, query: Query[D]) -> Page[D]:
        rows, following = self._page(query)
        found = [(id, row.rev, row.body) for id, row in rows]
        return Page(readable(query.kind, found), following)
