"""Documents by which processes coordinate: claims on names and numbers, leases with fences."""

from __future__ import annotations

from datetime import datetime

from stratuslab.core.documents.frame import Document
from stratuslab.core.documents.kinds import Field, Kind


class Claim(Document, tag="claim"):
    """Something only one may have. The id names it (`idempotency/…`, `port/host/22001`)."""

    holder: str
    """Key of the document for which it is held."""
    deadline: datetime
    """After it the claim is void unless the holder exists."""
    payload: str = ""
    """What the holder wants to remember, e.g. the recorded answer of an idempotent request."""
    keep_until: datetime | None = None
    """Kept to this moment although the holder is gone; then purged."""


CLAIM = Kind(
    "claim",
    Claim,
    (
        Field("deadline", lambda c: c.deadline.isoformat()),
        Field("holder", lambda c: c.holder),
    ),
    visible=False,
)


class Lease(Document, tag="lease"):
    """The right to act, for a while. Its id names the duty, e.g. `sweep/machine/3`."""

    holder: str = ""
    fence: int = 0
    """Grows each time the lease changes hands; whoever acts presents it."""
    expires: datetime | None = None
    due: datetime | None = None
    """For periodic duties: when the next turn begins."""


LEASE = Kind("lease", Lease, visible=False)
