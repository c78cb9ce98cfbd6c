"""What the store indexes of a document: the values of its declared fields and who may read it.

Pure. Every adapter computes its columns with these functions, so that all find the same.
"""

from __future__ import annotations

from typing import Any

from stratuslab.core.documents.frame import ADMINISTRATOR, Document
from stratuslab.core.documents.kinds import FieldValue, Kind
from stratuslab.core.errors import InvalidRequest

MAX_KEY_BYTES = 250
"""Of `kind/id` in UTF-8; Couchbase allows no more."""

SMALLEST, LARGEST = -(2**63), 2**63 - 1


def checked_key(kind: Kind[Any], id: str) -> str:
    """The id, if it can be one. Raises InvalidRequest when it is empty or too long."""
    if not id or len(kind.key(id).encode()) > MAX_KEY_BYTES:
        raise InvalidRequest(
            f"The id of a {kind.name} must not be empty, and with the kind's name it may have"
            f" at most {MAX_KEY_BYTES} bytes."
        )
    return id


def field_values(kind: Kind[Any], document: Document) -> tuple[FieldValue, ...]:
    """The values of the kind's declared fields, in their order.

    Raises InvalidRequest for a number that needs more than 64 bits.
    """
    return tuple([field_value(each.name, each.value(document)) for each in kind.fields])


def field_value(name: str, value: FieldValue) -> FieldValue:
    """The value in the form it is indexed in: booleans as 0 and 1."""
    if isinstance(value, int):
        value = int(value)
        if not SMALLEST <= value <= LARGEST:
            raise InvalidRequest(f"The value of {name} is out of range: {value}.", field=name)
    elif value is not None and type(value) is not str:
        value = str(value)
    return value


def readers(kind: Kind[Any], document: Document) -> list[str]:
    """The principals to index, sorted. Administrators see everything and are left out."""
    if not kind.visible:
        return []
    return [reader for reader in document.acl.readers() if reader != ADMINISTRATOR]
