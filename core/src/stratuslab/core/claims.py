"""Claims: names and numbers that only one may have, with a holder and a deadline.

A claim is inserted before its holder exists and is void after its deadline unless the holder
exists by then. So whoever dies between claim and holder leaks nothing: `release_void` finds it.
It must not decide what is worth claiming; callers name their claims.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from stratuslab.core.contracts.coordination import CLAIM, Claim
from stratuslab.core.documents.frame import now
from stratuslab.core.documents.kinds import kind_named
from stratuslab.core.errors import AlreadyExists, Conflict, NotFound
from stratuslab.core.store.base import Query, Store, Stored

GRACE_SECONDS = 60.0
"""How long a claim may stand without its holder."""


def claim(
    id: str,
    holder: str,
    *,
    at: datetime | None = None,
    grace_seconds: float = GRACE_SECONDS,
    payload: str = "",
    keep_seconds: float | None = None,
) -> Claim:
    """A claim document, to be inserted with or before its holder (`kind/id`).

    `keep_seconds`: it outlives its holder for so long, e.g. an idempotency record.
    """
    at = at or now()
    return Claim(
        id=id,
        created=at,
        holder=holder,
        deadline=at + timedelta(seconds=max(grace_seconds, keep_seconds or 0)),
        payload=payload,
        keep_until=at + timedelta(seconds=keep_seconds) if keep_seconds is not None else None,
    )


async def take(store: Store, wanted: Claim) -> Stored[Claim]:
    """Inserts the claim; one already held for the same holder counts as taken.

    A void claim of another holder is taken over. Raises AlreadyExists naming the holder.
    """
    try:
        return await store.insert(wanted)
    except AlreadyExists:
        present = await store.find(CLAIM, wanted.id)
        if present is None:
            return await store.insert(wanted)
        if present.document.holder == wanted.holder:
            return present
        if await is_void(store, present.document):
            return await store.replace(present, wanted)
        raise AlreadyExists(
            f"{wanted.id} is held for {present.document.holder}.", id=wanted.id
        ) from None


async def is_void(store: Store, claim: Claim) -> bool:
    """Whether nobody has a right to it any more."""
    at = now()
    if claim.deadline > at or (claim.keep_until is not None and claim.keep_until > at):
        return False
    if claim.keep_until is not None:
        return True
    kind, _, id = claim.holder.partition("/")
    return await store.revision(kind_named(kind), id) is None


async def release(store: Store, id: str, holder: str) -> None:
    """Gives a claim back; absent or of another holder is success."""
    present = await store.find(CLAIM, id)
    if present is None or present.document.holder != holder:
        return
    try:
        await store.remove(present)
    except (Conflict, NotFound):
        return


async def release_void(store: Store, *, limit: int = 200) -> int:
    """One pass over the claims whose deadline came first; removes the void ones.

    A claim whose holder lives gets a new deadline far away, so that passes stay short.
    """
    released = 0
    page = await store.list(Query(CLAIM, order_by="deadline", limit=limit))
    at = now()
    for present in page.items:
        if present.document.deadline > at:
            break
        try:
            if await is_void(store, present.document):
                await store.remove(present)
                released += 1
            else:
                kept = present.document
                kept.deadline = at + timedelta(hours=1)
                await store.replace(present, kept)
        except (Conflict, NotFound):
            continue
    return released
