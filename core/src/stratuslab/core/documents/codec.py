"""Documents as bytes: JSON by msgspec, keeping what this version does not understand.

Two versions of the cloud run side by side during an upgrade. The older one must not erase the
newer one's fields, so encoding merges them back from the bytes the document was read from.
"""

from __future__ import annotations

from functools import cache
from types import GenericAlias
from typing import Any, TypeVar, get_args

import msgspec

from stratuslab.core.documents.frame import Document
from stratuslab.core.errors import PermanentError, TooLarge

D = TypeVar("D", bound=Document)

MAX_DOCUMENT_BYTES = 1024 * 1024

_encoder = msgspec.json.Encoder()


class UnreadableDocument(PermanentError):
    """The stored bytes are no document of their kind. It is reported and left alone."""

    code = "unreadable-document"


@cache
def _decoder(type: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type)


def decode(type: type[D], body: bytes, key: str = "") -> D:
    """Bytes → document. Raises UnreadableDocument naming `key`."""
    try:
        document: D = _decoder(type).decode(body)
    except msgspec.DecodeError as error:
        raise UnreadableDocument(f"The stored document {key} is unreadable: {error}.") from error
    return document


def encode(document: Document, *, was: bytes | None = None) -> bytes:
    """Document → bytes; `was` are the bytes it was read from, whose unknown fields are kept.

    Raises TooLarge over 1 MiB.
    """
    body = _encoder.encode(document)
    if was is not None:
        new = msgspec.json.decode(body)
        if _keep_unknown(type(document), msgspec.json.decode(was), new):
            body = _encoder.encode(new)
    if len(body) > MAX_DOCUMENT_BYTES:
        raise TooLarge(
            f"The document has {len(body)} bytes; at most {MAX_DOCUMENT_BYTES} are allowed."
        )
    return body


@cache
def _known(struct: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct] | None]:
    """Encoded field names of a structure; for fields that hold one structure, its type."""
    known: dict[str, type[msgspec.Struct] | None] = {}
    config = struct.__struct_config__
    if config.tag_field is not None:
        known[config.tag_field] = None
    for field in msgspec.structs.fields(struct):
        holds_many = isinstance(field.type, GenericAlias)
        structures = [
            option
            for option in (field.type, *get_args(field.type))
            if isinstance(option, type) and issubclass(option, msgspec.Struct)
        ]
        known[field.encode_name] = structures[0] if structures and not holds_many else None
    return known


def _keep_unknown(struct: type[msgspec.Struct], old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Copies into `new` what `old` holds and the type does not declare. True if anything was."""
    known = _known(struct)
    kept = False
    for name, value in old.items():
        if name not in known:
            new[name] = value
            kept = True
        else:
            nested = known[name]
            if nested is not None and isinstance(value, dict) and isinstance(new.get(name), dict):
                kept = _keep_unknown(nested, value, new[name]) or kept
    return kept
