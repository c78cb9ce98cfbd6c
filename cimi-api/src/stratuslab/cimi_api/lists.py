"""Lists: which documents a caller sees, in a stable order, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stratuslab.cimi_api.plan import Caller
from stratuslab.cimi_api.queries import ListQuery
from stratuslab.cimi_api.rendering import RenderCache, select
from stratuslab.cimi_api.resources import Resource
from stratuslab.core.store import Query, Revision, Store
from stratuslab.core.store.base import MAX_PAGE


async def list_items(
    store: Store,
    cache: RenderCache,
    resource: Resource[Any],
    caller: Caller,
    base: str,
    wanted: ListQuery,
) -> tuple[Sequence[bytes], int]:
    """The items of a list as the caller sees them, and how many match in all.

    Oldest first; at most MAX_PAGE items at a time.
    """
    query: Query[Any] = Query(
        resource.kind,
        wanted.where,
        visible_to=None if caller.administrator else caller.principals,
        order_by="created",
        limit=MAX_PAGE,
    )
    revisions, count = await _positions(store, query, wanted.first, wanted.last)
    items = await cache.many(resource, revisions, caller, base)
    if wanted.select is not None:
        items = [select(item, wanted.select) for item in items]
    if count is None:
        count = len(items)
    return items, count


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
