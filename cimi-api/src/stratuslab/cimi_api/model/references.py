"""Reading the references that clients send back. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from stratuslab.cimi_api.model.common import collection_name
from stratuslab.core.errors import InvalidRequest

ROOT = "cimi"
"""First part of the path of every resource."""

ID_PATTERN = r"[A-Za-z0-9_.-]{1,128}"
"""What the id of a document looks like."""

_ID = re.compile(ID_PATTERN)


def relative_href(kind: str, id: str) -> str:
    """A reference relative to the base URI."""
    return f"{collection_name(kind)}/{id}"


def referenced_id(href: str, kind: str, attribute: str) -> str:
    """The id that a reference to a document of this kind names.

    Absolute URIs, paths and references relative to the base URI are understood; the host is not
    compared, because one cloud may be reached by several names. Raises InvalidRequest naming
    `attribute`.
    """
    collection = collection_name(kind)
    try:
        path = urlsplit(href).path
    except ValueError:
        path = ""
    head, _, id = path.rpartition("/")
    before, _, last = head.rpartition("/")
    absolute = path.startswith("/") or "://" in href
    rooted = before.rpartition("/")[2] == ROOT if absolute else before == ""
    if last != collection or not rooted or not _ID.fullmatch(id):
        raise InvalidRequest(
            f"{attribute} is {href!r}, which is no reference to an item of {collection}.",
            hint=f"Use the id of one of {collection}, as it is listed there.",
        )
    return id
