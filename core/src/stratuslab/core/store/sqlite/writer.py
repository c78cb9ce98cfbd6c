"""Carries out write requests on the database: many in one transaction, each all or nothing.

Owns the writing connection. The group shares one commit and so one flush to the disk; what it
answered is on the disk. It knows nothing of sockets; the owner calls it, one group at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import apsw
import structlog

from stratuslab.core.documents.codec import decode
from stratuslab.core.documents.kinds import FieldValue, Kind
from stratuslab.core.errors import (
    AlreadyExists,
    Ambiguous,
    Conflict,
    NotFound,
    PermanentError,
    StratusLabError,
    Unavailable,
)
from stratuslab.core.store.indexing import field_values, readers
from stratuslab.core.store.sqlite.files import BUSY_MILLISECONDS, WAL_LIMIT_BYTES
from stratuslab.core.store.sqlite.schema import Meta, readers_text
from stratuslab.core.store.sqlite.tables import Table, table_of
from stratuslab.core.store.sqlite.wire import (
    Answer,
    Apply,
    Done,
    Failed,
    Published,
    TakeNumbers,
    WriteRequest,
    failed,
)
from stratuslab.core.store.writes import EncodedWrite

log = structlog.get_logger()

PRUNED_AT_ONCE = 1000
EXPIRED_AT_ONCE = 500
TIDY_MILLISECONDS = 200


class Writer:
    """The writing side of one database. Not for several threads."""

    def __init__(
        self,
        connection: apsw.Connection,
        kinds: Iterable[Kind[Any]],
        meta: Meta,
        *,
        clock: Callable[[], float],
        kept_changes: int,
        kept_seconds: float,
    ) -> None:
        self.sequence = meta.sequence
        self._volatile = meta.starts << 32
        self._connection = connection
        self._cursor = connection.cursor()
        self._tables = {kind.name: table_of(kind) for kind in kinds}
        self._clock = clock
        self._kept_changes = kept_changes
        self._kept_seconds = kept_seconds
        self._unpruned = PRUNED_AT_ONCE
        self._next_expiry: dict[str, float] = {}
        for table in self._tables.values():
            self._look_for_expiry(table)

    def execute(self, requests: Sequence[WriteRequest]) -> list[Answer]:
        """Carries the requests out and answers each, in order; it raises nothing.

        When the group as a whole fails, each request is tried alone, so that none suffers for
        another. Without requests: only what has expired or may be forgotten is removed.
        """
        try:
            return self._transaction(requests)
        except CommitUncertain as error:
            return [failed(request.number, error) for request in requests]
        except Exception as error:
            if len(requests) > 1:
                return [answer for each in requests for answer in self.execute([each])]
            if not isinstance(error, apsw.Error):
                log.exception("store.write_failed")
            return [failed(request.number, _as_failure(error)) for request in requests]

    @property
    def due(self) -> bool:
        """Whether something has expired."""
        return any(moment <= self._clock() for moment in self._next_expiry.values())

    def tidy(self) -> None:
        """Empties the write-ahead log when slow readers have made it grow beyond its limit."""
        try:
            log_bytes = Path(self._connection.filename_wal).stat().st_size
        except FileNotFoundError:
            return
        if log_bytes <= WAL_LIMIT_BYTES:
            return
        self._connection.set_busy_timeout(TIDY_MILLISECONDS)
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error as error:
            log.info("store.log_not_emptied", bytes=log_bytes, error=str(error))
        finally:
            self._connection.set_busy_timeout(BUSY_MILLISECONDS)

    def close(self) -> None:
        """Closes the database."""
        self._connection.close()

    # One transaction

    def _transaction(self, requests: Sequence[WriteRequest]) -> list[Answer]:
        marks = self.sequence, self._volatile
        try:
            self._run("BEGIN IMMEDIATE")
            self._remove_expired()
            answers = [self._answer(request) for request in requests]
            self._prune()
        except BaseException:
            self._roll_back(marks)
            raise
        try:
            self._run("COMMIT")
        except apsw.Error as error:
            self._roll_back(marks)
            raise _commit_failure(error) from error
        return answers

    def _roll_back(self, marks: tuple[int, int]) -> None:
        self.sequence, self._volatile = marks
        if self._connection.in_transaction:
            self._run("ROLLBACK")

    def _answer(self, request: WriteRequest) -> Answer:
        try:
            if isinstance(request, Apply):
                if len(request.writes) == 1:
                    return Done(request.number, [self._write(request.writes[0])])
                return Done(request.number, self._write_group(request.writes))
            if isinstance(request, TakeNumbers):
                return Done(request.number, [self._take(request.counter, request.block)])
            return self._confirm(request)
        except StratusLabError as error:
            return failed(request.number, error)

    def _write_group(self, writes: Sequence[EncodedWrite]) -> list[str | int]:
        marks = self.sequence, self._volatile
        self._run("SAVEPOINT one_group")
        try:
            revs: list[str | int] = [self._write(write) for write in writes]
        except StratusLabError:
            self._run("ROLLBACK TO one_group")
            self.sequence, self._volatile = marks
            raise
        finally:
            self._run("RELEASE one_group")
        return revs

    def _take(self, counter: str, block: int) -> int:
        following: int = self._run(
            "INSERT INTO store_counters VALUES (?1, ?2 + 1)"
            " ON CONFLICT (name) DO UPDATE SET next = next + ?2 RETURNING next",
            (counter, block),
        )[0][0]
        return following - block

    def _confirm(self, request: Published) -> Answer:
        self._run(
            "UPDATE store_changes SET events = NULL WHERE events IS NOT NULL AND sequence <= ?",
            (request.sequence,),
        )
        return Done(request.number, [])

    # One write. Everything that can refuse it comes before the first change of a table.

    def _write(self, write: EncodedWrite) -> str:
        table = self._tables.get(write.kind)
        if table is None:
            raise PermanentError(
                f"The store's owner does not know documents of kind {write.kind}.",
                hint="Restart it with the same version as its clients.",
            )
        row = self._present(table, write.id)
        if write.operation == "insert":
            if row is not None:
                raise AlreadyExists(
                    f"{table.kind.key(write.id)} exists.", kind=write.kind, id=write.id
                )
        elif write.operation != "put":
            if row is None:
                raise NotFound(
                    f"There is no {write.kind} {write.id}.", kind=write.kind, id=write.id
                )
            if str(row[1]) != write.rev:
                raise Conflict(f"{table.kind.key(write.id)} was changed by somebody else.")
        if write.operation == "remove":
            assert row is not None
            self._delete(table, row[0])
            self._record(table, write.id, "remove", write.events)
            return ""
        return self._keep(table, write, row)

    def _present(self, table: Table, id: str) -> tuple[Any, ...] | None:
        """The row (doc, rev, expires, readers, fields…) unless there is none alive."""
        rows = self._run(table.find, (id,))
        if not rows:
            return None
        row: tuple[Any, ...] = rows[0]
        if row[2] is not None and row[2] <= self._clock():
            self._delete(table, row[0])
            self._record(table, id, "remove", None)
            return None
        return row

    def _keep(self, table: Table, write: EncodedWrite, row: tuple[Any, ...] | None) -> str:
        assert write.body is not None
        values, principals = _index_values(table.kind, write.id, write.body)
        self._check_unique(table, write.id, values, row)
        rev = self._record(table, write.id, "insert" if row is None else "replace", write.events)
        expires = None
        if write.ttl_seconds is not None:
            expires = self._clock() + write.ttl_seconds
            self._next_expiry[write.kind] = min(expires, self._next_expiry.get(write.kind, expires))
        text = readers_text(principals)
        if row is None:
            self._run(table.insert, (write.id, rev, expires, text, *values, write.body))
            doc = self._connection.last_insert_rowid()
            for principal in principals:
                self._run(table.insert_reader, (doc, principal, write.id, *values))
        else:
            if write.operation == "replace" and write.ttl_seconds is None:
                expires = row[2]
            self._change(table, row, rev, expires, text, values, write)
            if text != row[3]:
                self._run(table.delete_readers, (row[0],))
                for principal in principals:
                    self._run(table.insert_reader, (row[0], principal, write.id, *values))
        return str(rev)

    def _change(
        self,
        table: Table,
        row: tuple[Any, ...],
        rev: int,
        expires: float | None,
        text: str,
        values: tuple[FieldValue, ...],
        write: EncodedWrite,
    ) -> None:
        """Sets only the columns that differ, so that only their indexes are touched."""
        doc = row[0]
        fields: list[str] = []
        changed: list[Any] = []
        for name, old, new in zip(table.columns, row[4:], values, strict=True):
            if old != new:
                fields.append(name)
                changed.append(new)
        names = ["rev", "body", *fields]
        bindings = [rev, write.body, *changed]
        if expires != row[2]:
            names.append("expires")
            bindings.append(expires)
        if text != row[3]:
            names.append("readers")
            bindings.append(text)
        elif fields and text:
            self._run(table.update_readers(tuple(fields)), (*changed, doc))
        self._run(table.update(tuple(names)), (*bindings, doc))

    def _check_unique(
        self,
        table: Table,
        id: str,
        values: tuple[FieldValue, ...],
        row: tuple[Any, ...] | None,
    ) -> None:
        for place, name, holder in table.unique:
            value = values[place]
            if value is None or (row is not None and row[4 + place] == value):
                continue
            for other, expires in self._run(holder, (value,)):
                if expires is not None and expires <= self._clock():
                    self._present(table, other)
                elif other != id:
                    raise AlreadyExists(
                        f"Another {table.kind.name} has the {name} {value}.",
                        kind=table.kind.name,
                        field=name,
                    )

    def _delete(self, table: Table, doc: int) -> None:
        if table.kind.visible:
            self._run(table.delete_readers, (doc,))
        self._run(table.delete, (doc,))

    def _record(self, table: Table, id: str, operation: str, events: bytes | None) -> int:
        """Takes the next revision and writes the line of the change log."""
        if table.kind.volatile:
            self._volatile += 1
            return self._volatile
        self.sequence += 1
        self._unpruned += 1
        self._run(
            "INSERT INTO store_changes VALUES (?, ?, ?, ?, ?, ?)",
            (self.sequence, table.kind.name, id, operation, self._clock(), events),
        )
        return self.sequence

    # What may be forgotten

    def _remove_expired(self) -> None:
        now = self._clock()
        for name in [name for name, moment in self._next_expiry.items() if moment <= now]:
            table = self._tables[name]
            for doc, id in self._run(table.expired, (now, EXPIRED_AT_ONCE)):
                self._delete(table, doc)
                self._record(table, id, "remove", None)
            self._look_for_expiry(table)

    def _look_for_expiry(self, table: Table) -> None:
        [[moment]] = self._run(table.next_expiry)
        self._next_expiry.pop(table.kind.name, None)
        if moment is not None:
            self._next_expiry[table.kind.name] = moment

    def _prune(self) -> None:
        """Removes the oldest lines of the change log, never one with unpublished events."""
        if self._unpruned < PRUNED_AT_ONCE:
            return
        self._unpruned = 0
        [[unpublished]] = self._run(
            "SELECT min(sequence) FROM store_changes WHERE events IS NOT NULL"
        )
        # The newest line stays: from it an owner knows how far the store has come.
        end = self.sequence - 1 if unpublished is None else unpublished - 1
        oldest = self._run(
            "SELECT sequence, at FROM store_changes WHERE sequence <= ? ORDER BY sequence LIMIT ?",
            (end, 2 * PRUNED_AT_ONCE),
        )
        too_old = self._clock() - self._kept_seconds
        last = self.sequence - self._kept_changes
        gone = [sequence for sequence, at in oldest if sequence <= last or at < too_old]
        if gone:
            self._run("DELETE FROM store_changes WHERE sequence <= ?", (gone[-1],))

    def _run(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[Any]:
        return self._cursor.execute(sql, bindings).fetchall()


class CommitUncertain(Ambiguous):
    """The disk failed while a commit was being flushed: it may be found after a restart."""


def is_uncertain(answer: Answer) -> bool:
    """Whether the answer says that the database must be opened anew."""
    return isinstance(answer, Failed) and answer.code == CommitUncertain.code


def _index_values(
    kind: Kind[Any], id: str, body: bytes
) -> tuple[tuple[FieldValue, ...], list[str]]:
    document = decode(kind.type, body, kind.key(id))
    try:
        return field_values(kind, document), readers(kind, document)
    except StratusLabError:
        raise
    except Exception as error:
        log.exception("store.index_failed", key=kind.key(id))
        raise PermanentError(
            f"The indexed values of {kind.key(id)} cannot be computed: {error!r}."
        ) from error


_NOT_WRITTEN = {apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_TRUNCATE}


def _commit_failure(error: apsw.Error) -> Exception:
    """A commit that failed before its last page was written did not happen.

    One whose flush failed may come back from the log; only opening the file anew tells.
    """
    extended: int = getattr(error, "extendedresult", 0)
    if not isinstance(error, apsw.IOError) or extended in _NOT_WRITTEN:
        return error
    return CommitUncertain(f"The disk failed while the store was writing: {error}.")


def _as_failure(error: Exception) -> StratusLabError:
    if isinstance(error, StratusLabError):
        return error
    if isinstance(error, apsw.FullError):
        return Unavailable(
            "The disk of the document store is full.", hint="Make room; nothing was lost."
        )
    if isinstance(error, apsw.Error):
        return Unavailable(f"The document store cannot write: {error}.")
    return PermanentError(f"The document store could not carry out a write: {error!r}.")
