"""Writes in the form in which adapters carry them out: checked, and documents as bytes.

Pure. Also the integration events kept with a write, and their ids, which never change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from stratuslab.core.contracts.messages import Event
from stratuslab.core.documents.codec import MAX_DOCUMENT_BYTES, encode
from stratuslab.core.documents.frame import Document
from stratuslab.core.documents.kinds import Kind, kind_named
from stratuslab.core.errors import InvalidRequest, TooLarge
from stratuslab.core.store.base import (
    MAX_ATOMIC_WRITES,
    Insert,
    OutboxEntry,
    Put,
    Remove,
    Replace,
    Write,
)
from stratuslab.core.store.indexing import checked_key

Operation = Literal["insert", "replace", "remove", "put"]


class EncodedWrite(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One write. `rev` is the revision that must be present, `events` a JSON list."""

    operation: Operation
    kind: str
    id: str
    rev: str | None = None
    body: bytes | None = None
    events: bytes | None = None
    ttl_seconds: float | None = None
    """Until the document vanishes. A replace without it keeps the moment set before."""


def kind_of(document: Document) -> Kind[Any]:
    """The document's kind. Raises KeyError when none is declared for its type."""
    return kind_named(str(document.__struct_config__.tag))


def encoded(write: Write) -> EncodedWrite:
    """The checked write.

    Raises TooLarge, InvalidRequest for an impossible id, ValueError for what only a mistake in
    the calling code can ask: a blind write or events where the kind does not allow them.
    """
    document = write.was.document if isinstance(write, Remove) else write.document
    kind = kind_of(document)
    id = checked_key(kind, document.id)
    if isinstance(write, Put):
        if not kind.volatile:
            raise ValueError(f"a {kind.name} is not volatile: insert or replace it")
        return EncodedWrite(
            "put", kind.name, id, None, encode(document), None, _checked_ttl(write.ttl_seconds)
        )
    if write.events and kind.volatile:
        raise ValueError(f"a {kind.name} is volatile: no events are kept with it")
    events = encoded_events(write.events)
    if isinstance(write, Remove):
        return EncodedWrite("remove", kind.name, id, write.was.rev, None, events)
    ttl_seconds = _checked_ttl(write.ttl_seconds)
    if isinstance(write, Replace):
        body = encode(document, was=write.was.body)
        return EncodedWrite("replace", kind.name, id, write.was.rev, body, events, ttl_seconds)
    assert isinstance(write, Insert)
    return EncodedWrite("insert", kind.name, id, None, encode(document), events, ttl_seconds)


def encoded_group(writes: Sequence[Write]) -> list[EncodedWrite]:
    """The checked writes of an atomic group. Raises InvalidRequest when there are too many."""
    if len(writes) > MAX_ATOMIC_WRITES:
        raise InvalidRequest(
            f"At most {MAX_ATOMIC_WRITES} documents can be written at once, not {len(writes)}."
        )
    return [encoded(write) for write in writes]


def _checked_ttl(ttl_seconds: float | None) -> float | None:
    if ttl_seconds is not None and not ttl_seconds > 0:
        raise ValueError(f"a document cannot live {ttl_seconds} seconds")
    return ttl_seconds


_events = msgspec.json.Decoder(list[Event])
_encoder = msgspec.json.Encoder()


def encoded_events(events: Sequence[Event]) -> bytes | None:
    """The events as JSON, None if there are none. Raises TooLarge over 1 MiB."""
    if not events:
        return None
    body = _encoder.encode(list(events))
    if len(body) > MAX_DOCUMENT_BYTES:
        raise TooLarge(
            f"The events of one write have {len(body)} bytes;"
            f" at most {MAX_DOCUMENT_BYTES} are allowed."
        )
    return body


def outbox_entries(cloud_id: str, sequence: int, events: bytes) -> list[OutboxEntry]:
    """The events kept with one write, as the outbox gives them out."""
    return [
        OutboxEntry(f"{cloud_id}-{sequence}-{number}", sequence, event)
        for number, event in enumerate(_events.decode(events))
    ]
