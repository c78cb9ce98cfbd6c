"""The bus over NATS: joins connection, hints, queries and events to the port of `base`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar

import msgspec
import structlog

from stratuslab.core.bus.background import end, only
from stratuslab.core.bus.base import Consumer, Message
from stratuslab.core.bus.credentials import Credentials
from stratuslab.core.bus.deliveries import DeliveryLimits
from stratuslab.core.bus.envelope import seal
from stratuslab.core.bus.metrics import EVENTS_PUBLISHED
from stratuslab.core.bus.nats.connection import CLOSE_TIMEOUT_SECONDS, Connection
from stratuslab.core.bus.nats.dead_letters import DeadLetters
from stratuslab.core.bus.nats.events import EventConsumer
from stratuslab.core.bus.nats.hints import Hints
from stratuslab.core.bus.nats.publisher import Publisher
from stratuslab.core.bus.nats.queries import Queries
from stratuslab.core.bus.nats.streams import StreamLimits
from stratuslab.core.contracts.messages import Address, DeadLetter, Event
from stratuslab.core.errors import Unavailable

log = structlog.get_logger(__name__)

P = TypeVar("P", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)

_STREAMS_RETRY_SECONDS = 1.0


class NatsBus:
    """A Bus. Entering it does not wait for a connection: a service starts without the bus.

    `urls`: `nats://host:port` or `tls://host:port` each. `name` is shown by the server.
    `credentials` is called for each connection made, so that a password can be changed.
    Leaves with ConfigurationError when the credentials are refused from the start, with
    Unavailable when the connection was closed for good.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        name: str,
        credentials: Callable[[], Credentials] | None = None,
        streams: StreamLimits | None = None,
        deliveries: DeliveryLimits | None = None,
    ) -> None:
        self._name = name
        self._deliveries = deliveries or DeliveryLimits()
        self._connection = Connection(urls, name=name, credentials=credentials)
        self._hints = Hints(self._connection)
        self._queries = Queries(self._connection)
        self._publisher = Publisher(self._connection, streams or StreamLimits())
        self._dead_letters = DeadLetters(self._publisher)
        self._tasks: asyncio.TaskGroup | None = None
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        self._running = [
            self._tasks.create_task(self._connection.run()),
            self._tasks.create_task(self._hints.run()),
            self._tasks.create_task(self._make_streams()),
        ]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._tasks is not None
        try:
            if exc_type is None:
                await self._hints.flush(CLOSE_TIMEOUT_SECONDS / 3)
                await self._connection.flush()
        finally:
            await end(self._running)
            try:
                await self._tasks.__aexit__(exc_type, exc, traceback)
            except BaseExceptionGroup as group:
                cause = only(group)
                if cause is not exc:
                    raise cause from None
            finally:
                await self._connection.close()

    async def _make_streams(self) -> None:
        told = ""
        while not self._publisher.ensured:
            await self._connection.ready()
            try:
                await self._publisher.ensure_streams()
            except Unavailable as error:
                if self.connected and told != error.message:
                    told = error.message
                    log.warning("bus.no_streams", reason=told)
                await asyncio.sleep(_STREAMS_RETRY_SECONDS)

    @property
    def connected(self) -> bool:
        """Whether messages flow at present."""
        return self._connection.connected

    async def ready(self, timeout: float) -> None:
        """Waits for the connection. Raises Unavailable after `timeout` seconds."""
        await self._connection.ready(timeout)

    def hint(self, address: Address, **parameters: str) -> None:
        """See Bus.hint."""
        self._hints.send(address, parameters)

    def hints(
        self, address: Address, *, shared: bool = False, **parameters: str
    ) -> AbstractAsyncContextManager[AsyncIterator[Message]]:
        """See Bus.hints."""
        return self._hints.received(
            address.pattern(**parameters), queue=_queue(address) if shared else ""
        )

    async def query(
        self, address: Address, payload: P, reply: type[R], *, timeout: float, **parameters: str
    ) -> R:
        """See Bus.query."""
        subject = address.subject(**parameters)
        return await self._queries.ask(address, payload, reply, timeout, subject)

    def answers(
        self,
        address: Address,
        answer: Callable[[P], Awaitable[R]],
        *,
        shared: bool = False,
        **parameters: str,
    ) -> AbstractAsyncContextManager[None]:
        """See Bus.answers."""
        return self._queries.answering(
            address,
            answer,
            pattern=address.pattern(**parameters),
            queue=_queue(address) if shared else "",
        )

    async def ensure_streams(self) -> None:
        """Makes the streams as they should be; done by itself after connecting."""
        await self._publisher.ensure_streams()

    async def publish(self, id: str, event: Event, *, time: datetime | None = None) -> None:
        """See Bus.publish. Also raises PermanentError for an event that can never be stored."""
        await self._publisher.store(seal(id, event, time))
        EVENTS_PUBLISHED.inc()

    def consume(
        self, name: str, addresses: tuple[Address, ...], consumer: Consumer
    ) -> AbstractAsyncContextManager[None]:
        """See Bus.consume. `name` is `[A-Za-z0-9_-]`."""
        return EventConsumer(
            self._connection,
            self._publisher,
            self._dead_letters,
            self._deliveries,
            name,
            addresses,
            consumer,
        ).consuming()

    async def dead_letters(self, limit: int = 100) -> list[tuple[int, DeadLetter]]:
        """See Bus.dead_letters."""
        return await self._dead_letters.list(limit)

    async def replay(self, sequence: int) -> None:
        """See Bus.replay."""
        await self._dead_letters.replay(sequence)

    async def discard(self, sequence: int) -> None:
        """See Bus.discard."""
        await self._dead_letters.discard(sequence)


def _queue(address: Address) -> str:
    """Those who share a family's messages meet under its name."""
    return address.name.replace(".", "-")
