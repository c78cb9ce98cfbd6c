"""Rows as documents. A document that cannot be read does not hide the others beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import structlog

from stratuslab.core.documents.codec import UnreadableDocument, decode
from stratuslab.core.documents.frame import Document
from stratuslab.core.documents.kinds import Kind
from stratuslab.core.store.base import Stored

log = structlog.get_logger()

D = TypeVar("D", bound=Document)


def stored(kind: Kind[D], id: str, rev: str, body: bytes) -> Stored[D]:
    """The document of one row. Raises UnreadableDocument."""
    return Stored(decode(kind.type, body, kind.key(id)), rev, body)


def readable(kind: Kind[D], rows: Iterable[tuple[str, str, bytes]]) -> list[Stored[D]]:
    """The documents of these rows (id, rev, body); those that cannot be read are logged."""
    documents: list[Stored[D]] = []
    for id, rev, body in rows:
        try:
            documents.append(Stored(decode(kind.type, body, id), rev, body))
        except UnreadableDocument as error:
            log.error("store.unreadable_document", key=kind.key(id), error=str(error))
    return documents
