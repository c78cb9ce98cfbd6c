"""Reads the database directly, on a connection that cannot write.

What it reads is what the owner committed last: each statement sees the newest state. Everything
here blocks; what touches few rows takes microseconds and is called on the event loop, the rest
(`Plan.light` is False) belongs in a thread with a reader of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

import apsw

from stratuslab.core.documents.kinds import Kind
from stratuslab.core.errors import Unavailable
from stratuslab.core.store.base import Change
from stratuslab.core.store.paging import Selection, sort_key
from stratuslab.core.store.sqlite.files import open_for_reading
from stratuslab.core.store.sqlite.schema import READ_META, Meta
from stratuslab.core.store.sqlite.statements import (
    Plan,
    all_sql,
    count_sql,
    few_sql,
    many_sql,
    page_sql,
    parts,
    present_principals_sql,
)
from stratuslab.core.store.sqlite.tables import Table, column, table_of

FEW_ROWS = 1000
"""So many may be gathered and sorted for a page on the event loop."""
COUNTED_ROWS = 10_000
"""So many may be counted on the event loop."""

Row = tuple[Any, ...]
"""id, value of the order field, rev, and where asked for the body"""


class Reader:
    """One read-only connection. Not for several threads."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Raises Unavailable when there is no database (yet)."""
        self._clock = clock
        try:
            self._connection = open_for_reading(folder)
            self._cursor = self._connection.cursor()
            self.meta()
        except apsw.Error as error:
            raise Unavailable(f"The document store in {folder} cannot be read: {error}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the database."""
        self._connection.close()

    def interrupt(self) -> None:
        """Ends the statement another thread is running on this connection."""
        self._connection.interrupt()

    def meta(self) -> Meta:
        """Which store this is and how far it has come."""
        [row] = self._run(READ_META)
        return Meta(*row)

    def get(self, kind: Kind[Any], id: str) -> tuple[int, bytes] | None:
        """Revision and body."""
        rows = self._run(table_of(kind).get, (id,))
        if not rows:
            return None
        rev, expires, body = rows[0]
        if expires is not None and expires <= self._clock():
            return None
        return rev, body

    def revision(self, kind: Kind[Any], id: str) -> int | None:
        """The revision alone."""
        rows = self._run(table_of(kind).get_rev, (id,))
        if not rows:
            return None
        rev, expires = rows[0]
        if expires is not None and expires <= self._clock():
            return None
        found: int = rev
        return found

    def get_many(self, kind: Kind[Any], ids: Sequence[str]) -> list[tuple[str, int, bytes]]:
        """Id, revision and body of those that exist, in no order."""
        if not ids:
            return []
        # Few lengths, so that few statements are prepared; the id repeated finds nothing new.
        length = 1 << (len(ids) - 1).bit_length()
        padded = (*ids, *([ids[-1]] * (length - len(ids))))
        return self._run(many_sql(table_of(kind), length), (*padded, self._clock()))

    # Pages and counts

    def plan(self, kind: Kind[Any], asked: Selection) -> Plan:
        """How to read a page of this query."""
        table = table_of(kind)
        principals = self._principals(table, asked)
        if asked.field is not None and asked.field in asked.where:
            asked = asked._replace(field=None)  # all the same: ordered by id
        order = column(asked.field or "id")
        if not asked.where:
            return Plan(table, asked, principals, order, light=True)
        if len(asked.where) == 1 and asked.field is None:
            return Plan(table, asked, principals, column(next(iter(asked.where))), light=True)
        driving, few = self._narrowest(table, asked, principals)
        if few < FEW_ROWS:
            return Plan(table, asked, principals, driving, light=True)
        return Plan(table, asked, principals, order if asked.field else driving, light=False)

    def page(self, plan: Plan, limit: int, *, bodies: bool) -> list[Row]:
        """The first `limit` rows after the query's place, in its order."""
        passes = [self._pass(plan, principal, limit, bodies) for principal in plan.principals]
        if not passes:
            return []
        if len(passes) == 1:
            return passes[0]
        merged = list({row[0]: row for rows in passes for row in rows}.values())
        try:
            merged.sort(key=itemgetter(1, 0), reverse=plan.asked.descending)
        except TypeError:  # values not all of one type
            merged.sort(key=lambda row: sort_key(row[1], row[0]), reverse=plan.asked.descending)
        return merged[:limit]

    def count_plan(self, kind: Kind[Any], asked: Selection) -> Plan:
        """How to count what matches this query."""
        table = table_of(kind)
        principals = self._principals(table, asked)
        if asked.where:
            driving, few = self._narrowest(table, asked, principals, COUNTED_ROWS)
            return Plan(table, asked, principals, driving, few < COUNTED_ROWS)
        rows = 0
        for principal in principals:
            sql = all_sql(table, restricted=principal is not None)
            rows += self._run(sql, (*_restriction(principal), COUNTED_ROWS))[0][0]
        return Plan(table, asked, principals, "id", rows < COUNTED_ROWS)

    def count(self, plan: Plan) -> int:
        """How many documents match."""
        if not plan.principals:
            return 0
        principals = tuple(each for each in plan.principals if each is not None)
        values = plan.where_values
        matching = [value for each in principals for value in (each, *values)] or values
        sql = count_sql(plan.table, plan.where, len(principals) or None)
        found: int = self._run(sql, (*matching, self._clock(), *values, *principals))[0][0]
        return found

    def _principals(self, table: Table, asked: Selection) -> tuple[str | None, ...]:
        """Those of the principals who may read anything: usually one of several."""
        if asked.principals is None:
            return (None,)
        if not asked.principals:
            return ()
        sql = present_principals_sql(table, len(asked.principals))
        [found] = self._run(sql, asked.principals)
        return tuple(each for each, any in zip(asked.principals, found, strict=True) if any)

    def _narrowest(
        self,
        table: Table,
        asked: Selection,
        principals: tuple[str | None, ...],
        most: int = FEW_ROWS,
    ) -> tuple[str, int]:
        """The compared column with the fewest rows to look at, and how many, up to `most`."""
        best, few = "", most + 1
        for name, value in asked.where.items():
            rows = 0
            for principal in principals:
                restricted = principal is not None
                sql = few_sql(table, column(name), null=value is None, restricted=restricted)
                bindings = (*_restriction(principal), *(() if value is None else (value,)), most)
                rows += self._run(sql, bindings)[0][0]
            if rows < few or not best:
                best, few = column(name), rows
        return best, few

    def _pass(self, plan: Plan, principal: str | None, limit: int, bodies: bool) -> list[Row]:
        rows: list[Row] = []
        for part in parts(plan.asked, plan.asked.after):
            sql = page_sql(
                plan.table,
                plan.where,
                plan.driving,
                plan.asked.field,
                part.condition,
                descending=plan.asked.descending,
                restricted=principal is not None,
                bodies=bodies,
            )
            rows += self._run(
                sql,
                (
                    *_restriction(principal),
                    *plan.where_values,
                    *part.bindings,
                    self._clock(),
                    limit - len(rows),
                ),
            )
            if len(rows) == limit:
                break
        return rows

    # The change log

    def changes(self, after: int, limit: int) -> list[Change]:
        """Lines of the change log."""
        rows = self._run(
            "SELECT sequence, kind, id, operation FROM store_changes"
            " WHERE sequence > ? ORDER BY sequence LIMIT ?",
            (after, limit),
        )
        return [
            Change(sequence, kind, id, "" if operation == "remove" else str(sequence), operation)
            for sequence, kind, id, operation in rows
        ]

    def unpublished(self, limit: int) -> list[tuple[int, bytes]]:
        """Sequences and events not yet confirmed as published."""
        return self._run(
            "SELECT sequence, events FROM store_changes WHERE events IS NOT NULL"
            " ORDER BY sequence LIMIT ?",
            (limit,),
        )

    def _run(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[Any]:
        try:
            return self._cursor.execute(sql, bindings).fetchall()
        except apsw.Error as error:
            raise Unavailable(f"The document store cannot be read: {error}.") from error


def _restriction(principal: str | None) -> tuple[str, ...]:
    return () if principal is None else (principal,)
