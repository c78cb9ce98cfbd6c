"""Read, change, compare and swap, again on conflict: the one way services change documents.

Adapters share this loop; it uses nothing but the port.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from stratuslab.core.contracts.messages import Event
from stratuslab.core.documents.codec import decode
from stratuslab.core.documents.frame import Document
from stratuslab.core.documents.kinds import Kind
from stratuslab.core.errors import Conflict
from stratuslab.core.store.base import Store, Stored

D = TypeVar("D", bound=Document)

ATTEMPTS = 64
LONGEST_PAUSE_SECONDS = 0.05


async def update_document(
    store: Store, kind: Kind[D], id: str, change: Callable[[D], Sequence[Event] | None]
) -> Stored[D]:
    """What `Store.update` promises. Raises NotFound, Ambiguous, Conflict after many attempts."""
    for attempt in range(ATTEMPTS):
        was = await store.get(kind, id)
        document = was.document
        events = change(document)
        if decode(kind.type, was.body, id) == document:
            return was
        try:
            return await store.replace(was, document, events=events or ())
        except Conflict:
            longest = min(LONGEST_PAUSE_SECONDS, 0.001 * 2**attempt)
            await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - jitter
    raise Conflict(
        f"{kind.key(id)} was changed by others {ATTEMPTS} times in a row.",
        hint="Too many writers want this one document; try again later.",
    )
