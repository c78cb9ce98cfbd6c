"""Leases: the right to act for a while, with a fencing token.

The token grows whenever the lease changes hands. A process that was stopped and wakes up later
may still believe that it holds the lease; whatever it touches compares tokens and refuses the
lower one. Expiry is judged by the store's copy and by a monotonic clock at the holder.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from stratuslab.core.contracts.coordination import LEASE, Lease
from stratuslab.core.documents.frame import now
from stratuslab.core.errors import AlreadyExists, Conflict, NotFound
from stratuslab.core.store.base import Store, Stored


@dataclass
class HeldLease:
    """A lease this process holds. `fence` is presented with every act."""

    stored: Stored[Lease]
    ttl_seconds: float
    held_until: float
    """On the monotonic clock; the holder stops acting a third of the time before the end."""

    @property
    def fence(self) -> int:
        """The fencing token."""
        return self.stored.document.fence

    @property
    def valid(self) -> bool:
        """Whether the holder may still act."""
        return time.monotonic() < self.held_until - self.ttl_seconds / 3


async def acquire(
    store: Store, id: str, holder: str, *, ttl_seconds: float, at: datetime | None = None
) -> HeldLease | None:
    """The lease with a new fence, or None while another holder's has not expired.

    The same holder takes its own lease again at once, with a higher fence.
    """
    before = time.monotonic()
    at = at or now()
    present = await store.find(LEASE, id)
    expires = at + timedelta(seconds=ttl_seconds)
    try:
        if present is None:
            fresh = Lease(id=id, created=at, holder=holder, fence=1, expires=expires)
            stored = await store.insert(fresh)
        else:
            lease = present.document
            free = lease.expires is None or lease.expires <= at
            if not free and lease.holder != holder:
                return None
            lease.holder, lease.fence, lease.expires = holder, lease.fence + 1, expires
            stored = await store.replace(present, lease)
    except (AlreadyExists, Conflict, NotFound):
        return None
    return HeldLease(stored, ttl_seconds, before + ttl_seconds)


async def renew(store: Store, held: HeldLease, *, at: datetime | None = None) -> bool:
    """Prolongs the lease under the same fence. False: it is lost, stop acting."""
    before = time.monotonic()
    lease = held.stored.document
    lease.expires = (at or now()) + timedelta(seconds=held.ttl_seconds)
    try:
        held.stored = await store.replace(held.stored, lease)
    except (Conflict, NotFound):
        held.held_until = 0.0
        return False
    held.held_until = before + held.ttl_seconds
    return True


async def release(store: Store, held: HeldLease, *, due: datetime | None = None) -> None:
    """Gives the lease back; with `due` its duty rests until then. A lost lease is no error."""
    lease = held.stored.document
    lease.expires = None
    lease.due = due
    held.held_until = 0.0
    try:
        held.stored = await store.replace(held.stored, lease)
    except (Conflict, NotFound):
        return
