"""Publishes the events that were kept with their writes.

Owns the way from the store's outbox to the bus. Events go out in order, each with its own id, so
that one published twice is stored once. Killed at any point, the next relay begins with the first
unconfirmed event; several at once do no harm.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import structlog
from prometheus_client import Counter, Gauge

from stratuslab.core.bus.background import background
from stratuslab.core.bus.base import Bus
from stratuslab.core.documents.frame import now
from stratuslab.core.errors import PermanentError, TransientError
from stratuslab.core.store.base import OutboxEntry, Store

log = structlog.get_logger(__name__)

RELAYED = Counter("stratuslab_relay_events", "Events the relay handled", ["outcome"])
WAITING = Gauge("stratuslab_relay_waiting", "Events in the outbox when the relay last looked")

BATCH = 256
"""So many events are under way at once."""
POLL_SECONDS = 0.25
"""The outbox is looked at this often even when the store tells of no change."""
_PAUSE_SECONDS = (0.2, 1.0)


async def relay(store: Store, bus: Bus) -> None:
    """Publishes until cancelled, whatever is down meanwhile."""
    changed = asyncio.Event()
    waiting_for: str | None = None
    async with background() as beside:
        beside.start(_watch(store, changed))
        while True:
            try:
                changed.clear()
                more = await relay_once(store, bus)
            except TransientError as error:
                if waiting_for is None:
                    log.warning("relay.waiting", reason=error.message)
                waiting_for = error.message
                await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311
                continue
            if waiting_for is not None:
                log.info("relay.resumed", after=waiting_for)
                waiting_for = None
            if not more:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await changed.wait()


async def relay_once(store: Store, bus: Bus) -> bool:
    """Publishes and confirms one batch. Returns whether there may be more.

    Raises TransientError when store or bus cannot be reached; what was published up to the first
    failure is confirmed before.
    """
    entries = await store.outbox(BATCH)
    WAITING.set(len(entries))
    if not entries:
        return False
    # Begun in order and sent over one connection: stored in order, unless one has to be repeated.
    failures = await asyncio.gather(*(_publish(bus, entry) for entry in entries))
    failed = [(e.sequence, f) for e, f in zip(entries, failures, strict=True) if f is not None]
    # The events of one write share a sequence and are confirmed together.
    end = failed[0][0] if failed else None
    done = [entry.sequence for entry in entries if end is None or entry.sequence < end]
    if done:
        await store.published(done[-1])
    if failed:
        raise failed[0][1]
    return len(entries) >= BATCH


async def _publish(bus: Bus, entry: OutboxEntry) -> TransientError | None:
    """Stores one event; the error when that has to be tried again."""
    try:
        await bus.publish(entry.id, entry.event, time=now())
    except TransientError as error:
        return error
    except PermanentError as error:
        # It would stand in the way of all others for ever.
        RELAYED.labels("refused").inc()
        log.error("relay.event_refused", event_id=entry.id, reason=str(error))
    else:
        RELAYED.labels("published").inc()
    return None


async def _watch(store: Store, changed: asyncio.Event) -> None:
    """Sets `changed` whenever the store tells of a write."""
    while True:
        with suppress(TransientError):
            async for _ in store.watch():
                changed.set()
        await asyncio.sleep(POLL_SECONDS)
