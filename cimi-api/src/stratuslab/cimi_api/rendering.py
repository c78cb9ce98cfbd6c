"""Representations as bytes: the JSON renderer and the cache of what was rendered.

A resource looks different for different rights and base URIs, and the same for everybody else,
so that is what the cache is keyed by, together with the revision. Nothing here decides rights; a
caller without the right to see a resource gets NotFound from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from stratuslab.cimi_api.model.common import Operation, Representation, View
from stratuslab.cimi_api.plan import Caller
from stratuslab.cimi_api.preconditions import etag
from stratuslab.cimi_api.resources import Resource
from stratuslab.core.documents import Acl, Document, Right
from stratuslab.core.errors import NotFound
from stratuslab.core.store import Revision, Store, Stored

MEDIA_TYPE = "application/json"

_encoder = msgspec.json.Encoder()
_MAX_VARIANTS = 64


def encode(representation: Representation | msgspec.Struct) -> bytes:
    """One resource."""
    return _encoder.encode(representation)


def encode_collection(
    type_uri: str,
    uri: str,
    array: str,
    items: Sequence[bytes],
    *,
    count: int,
    operations: Sequence[Operation] = (),
) -> bytes:
    """A collection of items already encoded; without items the array is left out."""
    parts = [
        f'{{"resourceURI":"{type_uri}Collection","id":"{uri}","count":{count}'.encode(),
    ]
    if items:
        parts += [f',"{array}":['.encode(), b",".join(items), b"]"]
    if operations:
        parts += [b',"operations":', _encoder.encode(operations)]
    parts.append(b"}")
    return b"".join(parts)


def select(body: bytes, names: frozenset[str]) -> bytes:
    """A resource already encoded with only these attributes, and always its type."""
    attributes = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    kept = {
        name: value for name, value in attributes.items() if name in names or name == "resourceURI"
    }
    return _encoder.encode(kept)


class _Entry:
    """One document as rendered for those who have asked for it."""

    __slots__ = ("acl", "by_caller", "by_class", "etag", "rev")

    def __init__(self, stored: Stored[Any]) -> None:
        self.rev = stored.rev
        self.acl: Acl = stored.document.acl
        self.etag = etag(stored.document)
        self.by_class: dict[tuple[Right, bool, str], bytes] = {}
        self.by_caller: dict[tuple[frozenset[str], str], bytes] = {}


class RenderCache:
    """Rendered resources of all types, bounded; the oldest go first."""

    def __init__(self, store: Store, max_entries: int) -> None:
        self._store = store
        self._max_entries = max_entries
        self._entries: dict[tuple[str, str], _Entry] = {}

    async def one(
        self, resource: Resource[Any], id: str, caller: Caller, base: str
    ) -> tuple[bytes, str]:
        """A resource as this caller sees it now, and its ETag. Raises NotFound."""
        rev = await self._store.revision(resource.kind, id)
        entry = self._entries.get((resource.collection, id))
        if rev is None:
            raise absent(resource, id)
        if entry is not None and entry.rev == rev:
            body = entry.by_caller.get((caller.principals, base))
            if body is not None:
                return body, entry.etag
        stored = await self._store.find(resource.kind, id)
        if stored is None:
            raise absent(resource, id)
        return self.render(resource, stored, caller, base)

    async def many(
        self, resource: Resource[Any], revisions: Sequence[Revision], caller: Caller, base: str
    ) -> list[bytes]:
        """Resources as this caller sees them; those that went away meanwhile are left out."""
        collection, viewer = resource.collection, (caller.principals, base)
        entries = self._entries
        bodies: list[bytes | None] = []
        missing: list[int] = []
        for position, each in enumerate(revisions):
            entry = entries.get((collection, each.id))
            body = None
            if entry is not None and entry.rev == each.rev:
                body = entry.by_caller.get(viewer)
            if body is None:
                missing.append(position)
            bodies.append(body)
        if missing:
            ids = [revisions[position].id for position in missing]
            found = await self._store.get_many(resource.kind, ids)
            for position in missing:
                stored = found.get(revisions[position].id)
                if stored is not None and visible(stored.document, caller):
                    bodies[position] = self.render(resource, stored, caller, base)[0]
        return [body for body in bodies if body is not None]

    def render(
        self, resource: Resource[Any], stored: Stored[Any], caller: Caller, base: str
    ) -> tuple[bytes, str]:
        """A document just read as this caller sees it, and its ETag. Raises NotFound."""
        document = stored.document
        right = document.acl.right_of(caller.principals)
        if right < Right.VIEW:
            raise absent(resource, document.id)
        entry = self._entry(resource, stored)
        key = (right, caller.administrator, base)
        body = entry.by_class.get(key)
        if body is None:
            view = View(base, right, administrator=caller.administrator)
            body = encode(resource.shown(document, view))
            if len(entry.by_class) >= _MAX_VARIANTS:
                entry.by_class.clear()
            entry.by_class[key] = body
        if len(entry.by_caller) >= _MAX_VARIANTS:
            entry.by_caller.clear()
        entry.by_caller[caller.principals, base] = body
        return body, entry.etag

    def _entry(self, resource: Resource[Any], stored: Stored[Any]) -> _Entry:
        key = (resource.collection, stored.document.id)
        entry = self._entries.get(key)
        if entry is None or entry.rev != stored.rev:
            entry = _Entry(stored)
            self._entries.pop(key, None)
            self._entries[key] = entry
            if len(self._entries) > self._max_entries:
                del self._entries[next(iter(self._entries))]
        return entry


def visible(document: Document, caller: Caller) -> bool:
    """Whether this caller may know of the document."""
    return document.acl.right_of(caller.principals) >= Right.VIEW


def absent(resource: Resource[Any], id: str) -> NotFound:
    """The error for a resource that does not exist, or not for this caller."""
    return NotFound(
        f"There is no {resource.type_name} {id}, or it is not yours to see.",
        hint=f"List {resource.collection} to see what there is.",
    )
