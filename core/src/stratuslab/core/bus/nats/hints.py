"""Wake-ups over core NATS: sent by one task, in batches, never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import nats.errors
import structlog
from nats.aio.msg import Msg

from stratuslab.core.bus.base import Message
from stratuslab.core.bus.envelope import headers_for
from stratuslab.core.bus.hint_queue import MAX_WAITING, HintQueue
from stratuslab.core.bus.metrics import HINTS_DROPPED, HINTS_SENT
from stratuslab.core.bus.nats.connection import Connection
from stratuslab.core.contracts.messages import Address

log = structlog.get_logger(__name__)

MAX_UNSENT_BYTES = 1024 * 1024
"""Wake-ups leave the rest of nats-py's buffer of 2 MiB to what must not be held up."""
_UNSENT_PAUSE_SECONDS = 0.01


class Hints:
    """`run` sends inside the bus's task group what `send` was given."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: dict[str, Address] = {}
        self._filled = asyncio.Event()

    def send(self, address: Address, parameters: dict[str, str]) -> None:
        """Queues a wake-up. One that still waits is not queued twice; the oldest gives way."""
        try:
            subject = address.subject(**parameters)
        except (KeyError, ValueError) as error:
            log.error("bus.hint_refused", address=address.name, reason=str(error))
            return
        if subject in self._waiting:
            return
        if len(self._waiting) >= MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
            HINTS_DROPPED.labels("send").inc()
        self._waiting[subject] = address
        self._filled.set()

    async def run(self) -> None:
        """Sends while connected; what waits during an outage is sent after it."""
        while True:
            await self._filled.wait()
            await self._connection.ready()
            await self._send_waiting()

    async def flush(self, timeout: float) -> None:
        """Hands over what still waits, as far as there is a connection and time."""
        if self._connection.connected:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._send_waiting()

    async def _send_waiting(self) -> None:
        self._filled.clear()
        batch, self._waiting = self._waiting, {}
        for subject, address in batch.items():
            # nats-py tells only by this number when it has sent something.
            while self._connection.client.pending_data_size > MAX_UNSENT_BYTES:  # noqa: ASYNC110
                await asyncio.sleep(_UNSENT_PAUSE_SECONDS)
            try:
                await self._connection.client.publish(subject, headers=headers_for(address))
                HINTS_SENT.inc()
            except nats.errors.Error:
                HINTS_DROPPED.labels("send").inc()

    @asynccontextmanager
    async def received(self, pattern: str, *, queue: str) -> AsyncIterator[AsyncIterator[Message]]:
        """The wake-ups on these subjects while the context is open."""
        waiting = HintQueue()

        async def receive(message: Msg) -> None:
            waiting.put(Message(message.subject, message.data, message.headers or {}))

        async with self._connection.subscribed(pattern, receive, queue=queue):
            yield waiting
