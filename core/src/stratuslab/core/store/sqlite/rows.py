"""One write at a time on the tables of the database, with its line of the change log.

Computes the index columns from the document itself, keeps unique values unique and revisions
growing. It must not begin or end transactions; the writer does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import apsw
import structlog

from stratuslab.core.documents.codec import decode
from stratuslab.core.documents.kinds import FieldValue, Kind
from stratuslab.core.errors import (
    AlreadyExists,
    Conflict,
    NotFound,
    PermanentError,
    StratusLabError,
)
from stratuslab.core.store.indexing import field_values, readers
from stratuslab.core.store.sqlite.schema import Meta, readers_text
from stratuslab.core.store.sqlite.tables import Table, table_of
from stratuslab.core.store.writes import EncodedWrite

log = structlog.get_logger()

EXPIRED_AT_ONCE = 500


class Marks(NamedTuple):
    """The revisions given out last, to go back to when a transaction is rolled back."""

    sequence: int
    volatile: int


class Rows:
    """The tables of all kinds, as one connection writes them."""

    def __init__(
        self,
        connection: apsw.Connection,
        kinds: Iterable[Kind[Any]],
        meta: Meta,
        clock: Callable[[], float],
    ) -> None:
        self.marks = Marks(meta.sequence, meta.starts << 32)
        self._connection = connection
        self._cursor = connection.cursor()
        self._tables = {kind.name: table_of(kind) for kind in kinds}
        self._clock = clock
        self._next_expiry: dict[str, float] = {}
        for table in self._tables.values():
            self._look_for_expiry(table)

    def run(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[Any]:
        """The rows of a statement."""
        return self._cursor.execute(sql, bindings).fetchall()

    def write(self, write: EncodedWrite) -> str:
        """Carries out one write; the new revision, "" for a removal.

        Everything that can refuse it comes before the first change of a table. Raises
        AlreadyExists, Conflict, NotFound, InvalidRequest, PermanentError, apsw.Error.
        """
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
        rows = self.run(table.find, (id,))
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
            self.run(table.insert, (write.id, rev, expires, text, *values, write.body))
            doc = self._connection.last_insert_rowid()
            for principal in principals:
                self.run(table.insert_reader, (doc, principal, write.id, *values))
        else:
            if write.operation == "replace" and write.ttl_seconds is None:
                expires = row[2]
            self._change(table, row, rev, expires, text, values, write)
            if text != row[3]:
                self.run(table.delete_readers, (row[0],))
                for principal in principals:
                    self.run(table.insert_reader, (row[0], principal, write.id, *values))
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
            self.run(table.update_readers(tuple(fields)), (*changed, doc))
        self.run(table.update(tuple(names)), (*bindings, doc))

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
            for other, expires in self.run(holder, (value,)):
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
            self.run(table.delete_readers, (doc,))
        self.run(table.delete, (doc,))

    def _record(self, table: Table, id: str, operation: str, events: bytes | None) -> int:
        """Takes the next revision and writes the line of the change log."""
        sequence, volatile = self.marks
        if table.kind.volatile:
            self.marks = Marks(sequence, volatile + 1)
            return volatile + 1
        sequence += 1
        self.marks = Marks(sequence, volatile)
        self.run(
            "INSERT INTO store_changes VALUES (?, ?, ?, ?, ?, ?)",
            (sequence, table.kind.name, id, operation, self._clock(), events),
        )
        return sequence

    @property
    def due(self) -> bool:
        """Whether something has expired."""
        return any(moment <= self._clock() for moment in self._next_expiry.values())

    def remove_expired(self) -> None:
        """Removes some of what has expired."""
        now = self._clock()
        for name in [name for name, moment in self._next_expiry.items() if moment <= now]:
            table = self._tables[name]
            for doc, id in self.run(table.expired, (now, EXPIRED_AT_ONCE)):
                self._delete(table, doc)
                self._record(table, id, "remove", None)
            self._look_for_expiry(table)

    def _look_for_expiry(self, table: Table) -> None:
        [[moment]] = self.run(table.next_expiry)
        self._next_expiry.pop(table.kind.name, None)
        if moment is not None:
            self._next_expiry[table.kind.name] = moment


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
