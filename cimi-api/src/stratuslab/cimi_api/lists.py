"""Lists: which documents a caller sees, in a stable order, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from stratuslab.cimi_api.plan import Caller
from stratuslab.cimi_api.queries import ListQuery
from stratuslab.cimi_api.rendering import RenderCache, encode_collection, select
from stratuslab.cimi_api.resources import Resource, operation
from stratuslab.core.store import Query, Revision, Store
from stratuslab.core.store.base import MAX_PAGE

_MAX_REMEMBERED = 32
_MAX_REMEMBERED_BYTES = 512 * 1024


@dataclass(slots=True)
class _Remembered:
    """A list as rendered last. It is true while nothing was written to the store (`sequence`),
    and still true when the same documents stand in it unchanged (`revisions`, `count`)."""

    sequence: int
    revisions: Sequence[Revision]
    count: int | None
    body: bytes


class Lists:
    """Renders lists, and remembers the last ones."""

    def __init__(self, store: Store, cache: RenderCache) -> None:
        self._store = store
        self._cache = cache
        self._remembered: dict[tuple[object, ...], _Remembered] = {}

    async def render(
        self, resource: Resource[Any], caller: Caller, base: str, wanted: ListQuery
    ) -> bytes:
        """The collection as the caller sees it: oldest first, at most MAX_PAGE items."""
        query: Query[Any] = Query(
            resource.kind,
            wanted.where,
            visible_to=None if caller.administrator else caller.principals,
            order_by="created",
            limit=MAX_PAGE,
        )
        key = (resource.collection, caller.principals, base, wanted.key)
        remembered = self._remembered.get(key)
        sequence = (await self._store.identity()).sequence
        if remembered is not None and remembered.sequence == sequence:
            return remembered.body
        revisions, count = await _positions(self._store, query, wanted.first, wanted.last)
        if (
            remembered is not None
            and remembered.revisions == revisions
            and remembered.count == count
        ):
            remembered.sequence = sequence
            return remembered.body
        body = await self._encode(resource, caller, base, wanted, revisions, count)
        if len(body) <= _MAX_REMEMBERED_BYTES:
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = _Remembered(sequence, revisions, count, body)
        return body

    async def _encode(
        self,
        resource: Resource[Any],
        caller: Caller,
        base: str,
        wanted: ListQuery,
        revisions: Sequence[Revision],
        count: int | None,
    ) -> bytes:
        items = await self._cache.many(resource, revisions, caller, base)
        if wanted.select is not None:
            items = [select(item, wanted.select) for item in items]
        uri = f"{base}{resource.collection}"
        may_add = resource.add is not None and resource.add in caller.principals
        return encode_collection(
            resource.type_uri,
            uri,
            resource.collection,
            items,
            count=len(items) if count is None else count,
            operations=[operation("add", uri)] if may_add else [],
        )


async def _positions(
    store: Store, query: Query[Any], first: int, last: int | None
) -> tuple[Sequence[Revision], int | None]:
    """What stands at positions `first` to `last`, from 1, and how many there are in all.

    The number is None when everything is returned.
    """
    page = await store.list_revisions(query)
    if first == 1 and last is None and page.next is None:
        return page.items, None
    skipped = 0
    while skipped + len(page.items) < first and page.next is not None:
        skipped += len(page.items)
        page = await store.list_revisions(replace(query, after=page.next))
    count = await store.count(query)
    found = list(page.items[max(0, first - skipped - 1) :])
    end = MAX_PAGE if last is None else min(MAX_PAGE, max(0, last - first + 1))
    if len(found) < end and page.next is not None:
        page = await store.list_revisions(replace(query, after=page.next))
        found += page.items
    return found[:end], count
