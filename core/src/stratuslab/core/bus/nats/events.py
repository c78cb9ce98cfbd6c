"""Handling stored events: at least once, with patience, and never in the way of the others.

Owns the loop around a consumer. How a delivery may end:

* the consumer returns: acknowledged;
* TransientError, or a bug: delivered again after a growing pause;
* PermanentError, or no delivery left: a dead letter is written, then the event is ended.

The server is told no limit of deliveries. With one it would drop what killed its process too
often, with a single advisory message that may get lost as the only trace. Here the delivery after
the last one still comes, and turns into a dead letter without being handled.

The server is told no backoff either: it would take the place of `ack_wait`, and give a slow
handler's event to another one after a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.js import api
from structlog.contextvars import bound_contextvars

from stratuslab.core.bus.background import background
from stratuslab.core.bus.base import Consumer
from stratuslab.core.bus.deliveries import Again, DeliveryLimits, judge, trace_of
from stratuslab.core.bus.envelope import unseal
from stratuslab.core.bus.metrics import EVENTS_HANDLED
from stratuslab.core.bus.nats.connection import Connection
from stratuslab.core.bus.nats.dead_letters import DeadLetters
from stratuslab.core.bus.nats.publisher import Publisher
from stratuslab.core.bus.nats.pull import ConsumerGone, Pull, pulling
from stratuslab.core.bus.nats.streams import EVENTS
from stratuslab.core.contracts.messages import Address
from stratuslab.core.errors import PermanentError, StratusLabError, Unavailable

log = structlog.get_logger(__name__)

FINISH_SECONDS = 3.0
"""What a handler gets to finish in when the service stops."""
_RETRY_SECONDS = 0.5
_INTERRUPTIONS = (ConsumerGone, Unavailable, PermanentError, nats.errors.Error, TimeoutError)
_ABANDONED_SECONDS = 7 * 86_400.0
"""A consumer that nobody used for so long is forgotten by the server."""


class EventConsumer:
    """One durable consumer in this process."""

    def __init__(
        self,
        connection: Connection,
        publisher: Publisher,
        dead_letters: DeadLetters,
        limits: DeliveryLimits,
        name: str,
        addresses: Sequence[Address],
        consumer: Consumer,
    ) -> None:
        self._connection = connection
        self._publisher = publisher
        self._dead_letters = dead_letters
        self._limits = limits
        self._name = name
        self._addresses = addresses
        self._consumer = consumer
        self._in_hand: Msg | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False

    @asynccontextmanager
    async def consuming(self) -> AsyncIterator[None]:
        """Handles events while the context is open; on leaving, the one in hand gets a moment."""
        async with background() as beside:
            beside.start(self._run())
            beside.start(self._show_life())
            yield
            self._stopping = True
            with suppress(TimeoutError):
                async with asyncio.timeout(FINISH_SECONDS):
                    await self._idle.wait()

    async def _run(self) -> None:
        while True:
            await self._connection.ready()
            try:
                await self._declare()
                async with pulling(self._connection, EVENTS, self._name) as pull:
                    await self._handle_all(pull)
            except _INTERRUPTIONS as error:
                log.warning("bus.consumer_interrupted", consumer=self._name, reason=str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def _declare(self) -> None:
        await self._publisher.ensure_streams()
        await self._publisher.jetstream.add_consumer(
            EVENTS,
            api.ConsumerConfig(
                durable_name=self._name,
                deliver_policy=api.DeliverPolicy.ALL,
                ack_policy=api.AckPolicy.EXPLICIT,
                ack_wait=self._limits.ack_wait_seconds,
                max_deliver=-1,
                max_ack_pending=256,
                inactive_threshold=_ABANDONED_SECONDS,
                filter_subjects=[address.wildcard for address in self._addresses],
            ),
        )

    async def _handle_all(self, pull: Pull) -> None:
        while True:
            message = await pull.take()
            if self._stopping:
                await _tell(message.nak())
                return
            self._in_hand = message
            self._idle.clear()
            try:
                await self._handle(message)
            finally:
                self._in_hand = None
                self._idle.set()

    async def _show_life(self) -> None:
        while True:
            await asyncio.sleep(self._limits.ack_wait_seconds / 3)
            if self._in_hand is not None:
                await _tell(self._in_hand.in_progress())

    async def _handle(self, message: Msg) -> None:
        deliveries = message.metadata.num_delivered
        headers = message.headers or {}
        try:
            if deliveries > self._limits.max_deliveries:
                raise PermanentError("The process that handled it died each time.")
            delivery = unseal(
                headers,
                message.data,
                deliveries=deliveries,
                sequence=message.metadata.sequence.stream,
            )
            with bound_contextvars(**trace_of(headers)):
                await self._consumer(delivery)
        except Exception as error:
            if not isinstance(error, StratusLabError):
                log.exception("bus.consumer_failed", consumer=self._name, subject=message.subject)
            match judge(error, deliveries, self._limits):
                case Again(after_seconds):
                    await _tell(message.nak(after_seconds))
                    EVENTS_HANDLED.labels(self._name, "again").inc()
                case given_up:
                    await self._give_up(message, given_up.reason)
        else:
            await _tell(message.ack())
            EVENTS_HANDLED.labels(self._name, "handled").inc()

    async def _give_up(self, message: Msg, reason: str) -> None:
        """First the letter, then the end: killed in between, the same letter is written again."""
        await self._dead_letters.write(message, self._name, reason)
        await _tell(message.term())
        EVENTS_HANDLED.labels(self._name, "dead").inc()


async def _tell(acknowledgement: Coroutine[Any, Any, None]) -> None:
    """Sends it; when it is lost, the event comes again."""
    with suppress(nats.errors.Error):
        await acknowledgement
