"""The SELECT statements of pages and counts, and the parts a page is read in. Pure.

A page is read from one index: of the kind's table, or, for one principal, of its readers table.
Rows without a value of the order field come first, and SQL compares nothing with NULL; so a page
that begins in the middle may take two statements, one per side of that border.
"""
# ruff: noqa: S608 - names come from declared kinds, values are bound

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from stratuslab.core.store.paging import Cursor, Selection
from stratuslab.core.store.sqlite.tables import Table, column

STATEMENTS_KEPT = 512


class Plan(NamedTuple):
    """How a checked query is answered."""

    table: Table
    asked: Selection
    principals: tuple[str | None, ...]
    """One pass over the readers table for each; a pass for None goes over all documents."""
    driving: str
    """The column whose index is read."""
    light: bool
    """Whether few rows are touched, so that it may be done on the event loop."""

    @property
    def where(self) -> tuple[tuple[str, bool], ...]:
        """Columns compared, and whether with NULL."""
        return tuple((column(name), value is None) for name, value in self.asked.where.items())

    @property
    def where_values(self) -> tuple[Any, ...]:
        """What the columns are compared with, where that is not NULL."""
        return tuple(value for value in self.asked.where.values() if value is not None)


class Part(NamedTuple):
    """One statement of a page: a condition on the place in the order, and its bindings."""

    condition: str
    bindings: tuple[Any, ...]


def parts(asked: Selection, after: Cursor | None) -> list[Part]:
    """The statements that together give the rows after this place, in order."""
    if after is None:
        return [Part("", ())]
    beyond = "<" if asked.descending else ">"
    if asked.field is None:
        return [Part(f" AND {{id}} {beyond} ?", (after.id,))]
    if after.value is None:
        rest = Part(f" AND {{value}} IS NULL AND {{id}} {beyond} ?", (after.id,))
        return [rest] if asked.descending else [rest, Part(" AND {value} IS NOT NULL", ())]
    rest = Part(f" AND ({{value}}, {{id}}) {beyond} (?, ?)", (after.value, after.id))
    return [rest, Part(" AND {value} IS NULL", ())] if asked.descending else [rest]


@lru_cache(STATEMENTS_KEPT)
def page_sql(
    table: Table,
    where: tuple[tuple[str, bool], ...],
    driving: str,
    field: str | None,
    condition: str,
    *,
    descending: bool,
    restricted: bool,
    bodies: bool,
) -> str:
    """Rows (id, value of the order field, rev[, body]).

    Bindings: [principal,] where values, those of the condition, now, limit.
    """
    source = "r" if restricted else "d"
    order = column(field or "id")
    place = condition.format(value=f"{source}.{order}", id=f"{source}.id")
    direction = " DESC" if descending else ""
    ordering = f"{source}.id{direction}"
    if field is not None:
        ordering = f"{source}.{order}{direction}, {ordering}"
    body = ", d.body" if bodies else ""
    return (
        f"SELECT {source}.id, {source}.{order}, d.rev{body}"
        f" FROM {_source(table, driving, restricted=restricted)}"
        f" WHERE {_conditions(source, where, restricted=restricted)}{place}"
        f" AND (d.expires IS NULL OR d.expires > ?) ORDER BY {ordering} LIMIT ?"
    )


def _source(table: Table, driving: str, *, restricted: bool) -> str:
    if not restricted:
        return f"{table.name} d INDEXED BY {table.name}_{driving}"
    # A cross join keeps SQLite from reading the documents first.
    return (
        f"{table.readers} r INDEXED BY {table.readers}_{driving}"
        f" CROSS JOIN {table.name} d ON d.doc = r.doc"
    )


def _conditions(source: str, where: tuple[tuple[str, bool], ...], *, restricted: bool) -> str:
    conditions = ["r.principal = ?"] if restricted else []
    conditions += [f"{source}.{name} {'IS NULL' if null else '= ?'}" for name, null in where]
    return " AND ".join(conditions) or "1"


@lru_cache(STATEMENTS_KEPT)
def few_sql(table: Table, name: str, *, null: bool, restricted: bool) -> str:
    """How many rows have this value in one column, but no more than the limit.

    Bindings: [principal,] value unless NULL, limit.
    """
    source = table.readers if restricted else table.name
    conditions = _conditions("x", ((name, null),), restricted=False)
    if restricted:
        conditions = f"x.principal = ? AND {conditions}"
    return (
        f"SELECT count(*) FROM (SELECT 1 FROM {source} x INDEXED BY {source}_{name}"
        f" WHERE {conditions} LIMIT ?)"
    )


@lru_cache(STATEMENTS_KEPT)
def all_sql(table: Table, *, restricted: bool) -> str:
    """How many rows there are, but no more than the limit. Bindings: [principal,] limit."""
    source = table.readers if restricted else table.name
    condition = " WHERE principal = ?" if restricted else ""
    return f"SELECT count(*) FROM (SELECT 1 FROM {source}{condition} LIMIT ?)"


@lru_cache(STATEMENTS_KEPT)
def count_sql(table: Table, where: tuple[tuple[str, bool], ...], principals: int | None) -> str:
    """How many documents match: all of them less those that have expired.

    `principals`: how many, None for no restriction. Bindings: principals and where values in
    turn for each of them, then now, where values, principals.
    """
    if principals is None:
        conditions = _conditions("d", where, restricted=False)
        matching = f"SELECT count(*) FROM {table.name} d WHERE {conditions}"
        readable = ""
    else:
        conditions = _conditions("r", where, restricted=True)
        one = f"SELECT r.doc FROM {table.readers} r WHERE {conditions}"
        matching = (
            f"SELECT count(*) FROM {table.readers} r WHERE {conditions}"
            if principals == 1
            else f"SELECT count(*) FROM ({' UNION '.join([one] * principals)})"
        )
        holes = ", ".join("?" * principals)
        readable = (
            f" AND EXISTS (SELECT 1 FROM {table.readers} r"
            f" WHERE r.doc = d.doc AND r.principal IN ({holes}))"
        )
    expired = (
        f"SELECT count(*) FROM {table.name} d INDEXED BY {table.name}_expires"
        f" WHERE d.expires <= ? AND {_conditions('d', where, restricted=False)}{readable}"
    )
    return f"SELECT ({matching}) - ({expired})"


@lru_cache(STATEMENTS_KEPT)
def many_sql(table: Table, number: int) -> str:
    """The rows (id, rev, body) with one of so many ids. Bindings: ids, now."""
    holes = ", ".join("?" * number)
    return (
        f"SELECT id, rev, body FROM {table.name}"
        f" WHERE id IN ({holes}) AND (expires IS NULL OR expires > ?)"
    )


@lru_cache(STATEMENTS_KEPT)
def present_principals_sql(table: Table, number: int) -> str:
    """For each of so many principals whether it may read anything at all."""
    one = f"EXISTS (SELECT 1 FROM {table.readers} WHERE principal = ?)"
    return f"SELECT {', '.join([one] * number)}"
