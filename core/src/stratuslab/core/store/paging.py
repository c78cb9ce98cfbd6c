"""Pages: checking a query, and the cursor that says where the next page begins.

Pure. A cursor holds the value of the order field and the id of the last row given out, so that
a page is found by key and never by counting, whatever was inserted or removed in between.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple

import msgspec

from stratuslab.core.documents.frame import ADMINISTRATOR
from stratuslab.core.documents.kinds import FieldValue
from stratuslab.core.errors import InvalidRequest
from stratuslab.core.store.base import MAX_PAGE, Query
from stratuslab.core.store.indexing import field_value

_MAX_CURSOR_CHARACTERS = 8192


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """After which row to go on, in which order."""

    order_by: str
    value: FieldValue
    id: str


class Selection(NamedTuple):
    """A query that was checked. `field` is the declared order field, None for the id."""

    where: dict[str, FieldValue]
    principals: tuple[str, ...] | None
    """None: no restriction. Sorted."""
    field: str | None
    descending: bool
    after: Cursor | None
    limit: int


def selection(query: Query[Any]) -> Selection:
    """The checked form of a query.

    Raises InvalidRequest for a limit out of range, a field that is not declared, a cursor of
    another query, and `visible_to` for a kind whose readers are not indexed.
    """
    kind = query.kind
    if not 1 <= query.limit <= MAX_PAGE:
        raise InvalidRequest(
            f"A page holds 1 to {MAX_PAGE} documents; {query.limit} were asked for.", field="limit"
        )
    descending = query.order_by.startswith("-")
    field = query.order_by[1:] if descending else query.order_by
    for name in (*query.where, *(() if field == "id" else (field,))):
        if name not in kind.by_name:
            known = ", ".join(("id", *kind.by_name))
            raise InvalidRequest(
                f"A {kind.name} cannot be looked up by {name!r}; it is indexed by {known}.",
                field=name,
            )
    principals = query.visible_to
    if principals is not None and ADMINISTRATOR in principals:
        principals = None
    if principals is not None and not kind.visible:
        raise InvalidRequest(f"The readers of a {kind.name} are not indexed.", field="visible_to")
    return Selection(
        where={name: field_value(name, value) for name, value in query.where.items()},
        principals=None if principals is None else tuple(sorted(principals)),
        field=None if field == "id" else field,
        descending=descending,
        after=None if query.after is None else read_cursor(query.after, query.order_by),
        limit=query.limit,
    )


def cursor_text(order_by: str, value: FieldValue, id: str) -> str:
    """The cursor after the row with this value of the order field and this id."""
    body = msgspec.json.encode(Cursor(order_by, value, id))
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


_decoder = msgspec.json.Decoder(Cursor)


def read_cursor(text: str, order_by: str) -> Cursor:
    """The cursor in the text. Raises InvalidRequest if it is none, or of another order."""
    try:
        if len(text) > _MAX_CURSOR_CHARACTERS:
            raise ValueError("too long")
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        cursor = _decoder.decode(base64.b64decode(padded, altchars=b"-_", validate=True))
        field_value(order_by, cursor.value)
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise InvalidRequest("The page cursor is damaged; begin with the first page.") from error
    if cursor.order_by != order_by:
        raise InvalidRequest(
            f"The page cursor belongs to the order {cursor.order_by!r}, not to {order_by!r}."
        )
    return cursor


def sort_key(value: FieldValue, id: str) -> tuple[int, int | str, str]:
    """How rows are ordered: None first, then numbers, then text by its code points, then ids."""
    if value is None:
        return (0, 0, id)
    return (1 if isinstance(value, int) else 2, value, id)
