"""Taking messages one by one from a durable JetStream consumer.

Owns one consumer and its inbox. nats-py's `fetch` is not used: a fetch under way when the server
restarts waits for its whole timeout, and one that is cancelled can lose a message until its
`ack_wait` has passed. Here every message lands in one queue, and a reconnection asks again.

One message is asked for at a time, so that a message counts as delivered only when a handler is
free for it: innocent neighbours of a message that kills its process are not counted down.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import nats.errors
from nats.aio.msg import Msg
from nats.js import api

from stratuslab.core.bus.nats.connection import Connection

REQUEST_SECONDS = 5.0
"""How long one request lingers at the server."""
_PATIENCE_SECONDS = 1.0
_NOTHING_THERE = {"404", "408"}


class ConsumerGone(Exception):
    """The server does not know the consumer (any more), or its leader is changing."""


class Pull:
    """Messages of one durable consumer; use through `pulling`."""

    def __init__(self, connection: Connection, stream: str, consumer: str, inbox: str) -> None:
        self._connection = connection
        self._next_subject = f"{api.DEFAULT_PREFIX}.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = inbox
        self._arrived: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._asked = False

    async def take(self) -> Msg:
        """The next message. Raises ConsumerGone when it has to be created again."""
        while True:
            if self._arrived.empty() and not self._asked:
                await self._ask()
            try:
                async with asyncio.timeout(REQUEST_SECONDS + _PATIENCE_SECONDS):
                    message = await self._arrived.get()
            except TimeoutError:
                message = None
            self._asked = False
            if message is None:
                continue
            status = (message.headers or {}).get(api.Header.STATUS.value)
            if status is None or message.subject != self._inbox:
                return message
            if status not in _NOTHING_THERE:
                raise ConsumerGone(status)

    def left(self) -> list[Msg]:
        """Messages that came and were not taken."""
        messages: list[Msg] = []
        while not self._arrived.empty():
            message = self._arrived.get_nowait()
            if message is not None and message.subject != self._inbox:
                messages.append(message)
        return messages

    async def _ask(self) -> None:
        await self._connection.ready()
        request = {"batch": 1, "expires": int(REQUEST_SECONDS * 1e9)}
        try:
            await self._connection.client.publish(
                self._next_subject, json.dumps(request).encode(), reply=self._inbox
            )
        except nats.errors.Error as error:
            raise ConsumerGone(str(error)) from error
        self._asked = True

    async def receive(self, message: Msg) -> None:
        """Callback of the inbox's subscription."""
        self._arrived.put_nowait(message)

    def ask_again(self) -> None:
        """What was asked before is forgotten by the server."""
        self._arrived.put_nowait(None)


@asynccontextmanager
async def pulling(connection: Connection, stream: str, consumer: str) -> AsyncIterator[Pull]:
    """The messages of this consumer while the context is open."""
    inbox = connection.client.new_inbox()
    pull = Pull(connection, stream, consumer, inbox)
    connection.reconnected.add(pull.ask_again)
    try:
        async with connection.subscribed(inbox, pull.receive):
            yield pull
    finally:
        connection.reconnected.discard(pull.ask_again)
        for message in pull.left():
            with suppress(nats.errors.Error):
                await message.nak()  # at once to another process, not after `ack_wait`
