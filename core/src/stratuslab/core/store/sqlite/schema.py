"""Makes the tables of a store, and brings those of an older version of the cloud up to date.

A newly declared field becomes a column that is filled from the documents; a field no longer
declared is left alone. Nothing else of a document is rewritten.
"""
# ruff: noqa: S608 - names come from declared kinds, values are bound

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from typing import Any, NamedTuple
from uuid import uuid4

import apsw
import msgspec
import structlog

from stratuslab.core.documents.codec import UnreadableDocument, decode
from stratuslab.core.documents.kinds import Kind
from stratuslab.core.errors import ConfigurationError
from stratuslab.core.store.indexing import field_values, readers
from stratuslab.core.store.sqlite.files import APPLICATION_ID
from stratuslab.core.store.sqlite.tables import Table, table_of

log = structlog.get_logger()

FORMAT = 1
"""Of the file; a cloud refuses files of a newer format."""
BACKFILL_BATCH = 500

_COMMON = (
    """CREATE TABLE IF NOT EXISTS store_meta (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        cloud_id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        lowest_sequence INTEGER NOT NULL,
        starts INTEGER NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS store_kinds (name TEXT PRIMARY KEY, fingerprint TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS store_counters (name TEXT PRIMARY KEY, next INTEGER NOT NULL)",
    """CREATE TABLE IF NOT EXISTS store_changes (
        sequence INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        operation TEXT NOT NULL,
        at REAL NOT NULL,
        events BLOB)""",
    """CREATE INDEX IF NOT EXISTS store_changes_unpublished
        ON store_changes (sequence) WHERE events IS NOT NULL""",
)


class Meta(NamedTuple):
    """Which store a file is and how far it has come."""

    cloud_id: str
    epoch: int
    sequence: int
    starts: int
    """How often an owner has begun to serve it."""


READ_META = """SELECT cloud_id, epoch,
    max(lowest_sequence, (SELECT ifnull(max(sequence), 0) FROM store_changes)), starts
    FROM store_meta"""


def read_meta(connection: apsw.Connection) -> Meta:
    """Raises apsw.Error when there is none yet."""
    row: Any = connection.execute(READ_META).fetchone()
    return Meta(*row)


def prepare(connection: apsw.Connection, kinds: Iterable[Kind[Any]]) -> Meta:
    """Tables and indexes for all kinds, in an empty database or in an older one.

    Raises ConfigurationError for a database that is none of ours or newer, apsw.Error.
    """
    _check_format(connection)
    version = _product_version()
    with connection:
        for statement in _COMMON:
            connection.execute(statement)
        connection.execute(
            "INSERT OR IGNORE INTO store_meta VALUES (1, ?, 1, 0, 0)", (uuid4().hex,)
        )
        connection.execute("UPDATE store_meta SET starts = starts + 1")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        rows: list[Any] = connection.execute("SELECT name, fingerprint FROM store_kinds").fetchall()
        known = dict(rows)
        changed: list[Table] = []
        for kind in kinds:
            table = table_of(kind)
            if kind.name not in known:
                _make_tables(connection, table)
                _make_indexes(connection, table, version)
            elif known[kind.name] != table.fingerprint(version):
                changed.append(table)
    for table in changed:
        _upgrade(connection, table, version)
    return read_meta(connection)


def _check_format(connection: apsw.Connection) -> None:
    application = connection.pragma("application_id")
    format = connection.pragma("user_version")
    has_tables = connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    if has_tables and application != APPLICATION_ID:
        raise ConfigurationError(
            f"{connection.filename} is a database of something else.",
            hint="Choose another data folder.",
        )
    if format > FORMAT:
        raise ConfigurationError(
            f"{connection.filename} was written by a newer version of the cloud"
            f" (format {format}, this version knows {FORMAT}).",
            hint="Install that version again, or restore a backup made with this one.",
        )


def _upgrade(connection: apsw.Connection, table: Table, version: str) -> None:
    """Brings the tables of one kind up to date; interrupted, it begins again at the next start."""
    try:
        with connection:
            _make_tables(connection, table)
        backfill(connection, table)
        with connection:
            _make_indexes(connection, table, version)
    except apsw.ConstraintError as error:
        raise ConfigurationError(
            f"Documents of kind {table.kind.name} share a value that must be unique now: {error}.",
            hint="Start the version before, make the values differ, then upgrade.",
        ) from error


def _make_tables(connection: apsw.Connection, table: Table) -> None:
    # The body comes last so that what lies before it is read without it.
    fields = "".join(f"{name}, " for name in table.columns)
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {table.name} (doc INTEGER PRIMARY KEY, id TEXT NOT NULL,"
        f" rev INTEGER NOT NULL, expires REAL, readers TEXT NOT NULL, {fields}body BLOB NOT NULL)"
    )
    names = [table.name]
    if table.kind.visible:
        names.append(table.readers)
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {table.readers} (doc INTEGER NOT NULL,"
            f" principal TEXT NOT NULL, id TEXT NOT NULL, {fields}"
            " PRIMARY KEY (doc, principal)) WITHOUT ROWID"
        )
    for name in names:
        present = {row[1] for row in connection.execute(f"PRAGMA table_info({name})").fetchall()}
        for column in table.columns:
            if column not in present:
                connection.execute(f"ALTER TABLE {name} ADD COLUMN {column}")


def _make_indexes(connection: apsw.Connection, table: Table, version: str) -> None:
    for statement in _indexes(table):
        connection.execute(statement)
    connection.execute(
        "INSERT INTO store_kinds VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET fingerprint = excluded.fingerprint",
        (table.kind.name, table.fingerprint(version)),
    )


def _indexes(table: Table) -> list[str]:
    name = table.name
    statements = [
        f"CREATE UNIQUE INDEX IF NOT EXISTS {name}_id ON {name} (id)",
        f"CREATE INDEX IF NOT EXISTS {name}_expires ON {name} (expires) WHERE expires IS NOT NULL",
    ]
    for field, column in zip(table.kind.fields, table.columns, strict=True):
        statements.append(f"CREATE INDEX IF NOT EXISTS {name}_{column} ON {name} ({column}, id)")
        statements.append(
            f"CREATE UNIQUE INDEX IF NOT EXISTS {name}_only_{column} ON {name} ({column})"
            f" WHERE {column} IS NOT NULL"
            if field.unique
            else f"DROP INDEX IF EXISTS {name}_only_{column}"
        )
    if table.kind.visible:
        for column in ("id", *table.columns):
            columns = "id" if column == "id" else f"{column}, id"
            statements.append(
                f"CREATE INDEX IF NOT EXISTS {table.readers}_{column}"
                f" ON {table.readers} (principal, {columns})"
            )
    return statements


def backfill(connection: apsw.Connection, table: Table) -> None:
    """Computes the indexed values of every document of a kind anew, a batch per transaction."""
    last, done, unreadable = 0, 0, 0
    while True:
        rows: list[Any] = connection.execute(
            f"SELECT doc, id, body FROM {table.name} WHERE doc > ? ORDER BY doc LIMIT ?",
            (last, BACKFILL_BATCH),
        ).fetchall()
        if not rows:
            break
        with connection:
            for doc, id, body in rows:
                try:
                    _index_again(connection, table, doc, id, body)
                    done += 1
                except UnreadableDocument as error:
                    unreadable += 1
                    log.error("store.unreadable_document", key=table.kind.key(id), error=str(error))
        last = rows[-1][0]
    log.info("store.indexed_again", kind=table.kind.name, documents=done, unreadable=unreadable)


def _index_again(connection: apsw.Connection, table: Table, doc: int, id: str, body: bytes) -> None:
    document = decode(table.kind.type, body, table.kind.key(id))
    values = field_values(table.kind, document)
    principals = readers(table.kind, document)
    names = ("readers", *table.columns)
    connection.execute(table.update(names), (readers_text(principals), *values, doc))
    if table.kind.visible:
        connection.execute(table.delete_readers, (doc,))
        for principal in principals:
            connection.execute(table.insert_reader, (doc, principal, id, *values))


def readers_text(principals: list[str]) -> str:
    """The readers as they stand in the document's own row, to see whether they change."""
    return msgspec.json.encode(principals).decode() if principals else ""


def _product_version() -> str:
    for name in ("stratuslab", "stratuslab-core"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ""
