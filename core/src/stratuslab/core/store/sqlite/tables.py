"""The names of tables, columns and indexes of each kind, and the statements made of them. Pure.

Per kind `kind_<name>`: one row per document, with a column `by_<field>` per declared field and
the body last. Per visible kind also `readers_<name>`: one row per document and principal who
may read it, repeating the fields, so that "visible to me, in this order" is one index range.
"""
# ruff: noqa: S608 - names come from declared kinds, values are bound

from __future__ import annotations

import hashlib
import re
from typing import Any

from stratuslab.core.documents.kinds import Kind

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


class Table:
    """Names and statements of one kind."""

    def __init__(self, kind: Kind[Any]) -> None:
        for name in (kind.name, *kind.by_name):
            assert _NAME.fullmatch(name), f"{name!r} cannot name a table or column"
        self.kind = kind
        plain = kind.name.replace("-", "_")
        self.name = f"kind_{plain}"
        self.readers = f"readers_{plain}"
        self.columns = tuple(column(name) for name in kind.by_name)
        self.unique = tuple(
            (place, field.name, f"SELECT id, expires FROM {self.name} WHERE {column(field.name)}=?")
            for place, field in enumerate(kind.fields)
            if field.unique
        )
        names = ", ".join(("id", "rev", "expires", "readers", *self.columns, "body"))
        holes = ", ".join("?" * (5 + len(self.columns)))
        fields = "".join(f", {name}" for name in self.columns)
        self.get = f"SELECT rev, expires, body FROM {self.name} WHERE id=?"
        self.get_rev = f"SELECT rev, expires FROM {self.name} WHERE id=?"
        self.find = f"SELECT doc, rev, expires, readers{fields} FROM {self.name} WHERE id=?"
        self.insert = f"INSERT INTO {self.name} ({names}) VALUES ({holes}) "
        self.delete = f"DELETE FROM {self.name} WHERE doc=?"
        self.insert_reader = (
            f"INSERT INTO {self.readers} (doc, principal, id{fields})"
            f" VALUES (?, ?, ?{', ?' * len(self.columns)})"
        )
        self.delete_readers = f"DELETE FROM {self.readers} WHERE doc=?"
        self.expired = f"SELECT doc, id FROM {self.name} WHERE expires<=? ORDER BY expires LIMIT ?"
        self.next_expiry = f"SELECT min(expires) FROM {self.name} WHERE expires IS NOT NULL"

    def update(self, names: tuple[str, ...]) -> str:
        """The statement that sets these columns of one document."""
        return f"UPDATE {self.name} SET {'=?, '.join(names)}=? WHERE doc=?"

    def update_readers(self, names: tuple[str, ...]) -> str:
        """The statement that sets these columns in all reader rows of one document."""
        return f"UPDATE {self.readers} SET {'=?, '.join(names)}=? WHERE doc=?"

    def fingerprint(self, version: str) -> str:
        """Changes whenever the indexed values of old documents may have to be computed anew:
        with the declaration of the fields and with the version of the product."""
        parts: list[object] = [version, self.kind.visible]
        for field in self.kind.fields:
            code = getattr(field.value, "__code__", None)
            parts += [field.name, field.unique]
            parts += [] if code is None else [code.co_code.hex(), code.co_names]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def column(field: str) -> str:
    """The column of a declared field; `id` is its own."""
    return "id" if field == "id" else "by_" + field.replace("-", "_")


_TABLES: dict[str, Table] = {}


def table_of(kind: Kind[Any]) -> Table:
    """The table of a kind."""
    found = _TABLES.get(kind.name)
    if found is None or found.kind is not kind:
        found = _TABLES[kind.name] = Table(kind)
    return found
