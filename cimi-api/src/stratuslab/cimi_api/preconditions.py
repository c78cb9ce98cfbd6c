"""ETags, and the requests that depend on them.

The tag is strong and covers what a user can write. It does not cover what changes by itself, so
that a machine's change of state never fails somebody's If-Match; therefore If-None-Match is
answered with 304 only where nothing changes by itself (`Resource.volatile`).
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from stratuslab.core.documents import Document
from stratuslab.core.errors import PreconditionFailed

_encoder = msgspec.msgpack.Encoder()


def etag(document: Document) -> str:
    """The entity tag, with its quotes."""
    written = (
        document.generation,
        document.updated,
        document.name,
        document.description,
        document.properties,
        document.acl,
    )
    return f'"{blake2b(_encoder.encode(written), digest_size=12).hexdigest()}"'


def matches(header: str, tag: str, *, weak: bool = False) -> bool:
    """Whether a list of entity tags, or `*`, names this one."""
    for each in header.split(","):
        candidate = each.strip()
        if weak:
            candidate = candidate.removeprefix("W/")
        if candidate in ("*", tag):
            return True
    return False


def check_if_match(header: str | None, document: Document) -> None:
    """Raises PreconditionFailed when the client has seen another version."""
    if header is not None and not matches(header, etag(document)):
        raise PreconditionFailed(
            f"If-Match is {header[:100]}, but the resource has changed since.",
            hint="Read it again and repeat the change.",
            etag=etag(document),
        )
