"""Storing messages in JetStream until they are acknowledged.

Owns the retry: the same `Nats-Msg-Id` each time, so that an attempt whose acknowledgement was
lost is not stored twice. Makes the streams when the server has none.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import nats.errors
import nats.js.errors
from nats.js import JetStreamContext

from stratuslab.core.bus.envelope import Envelope
from stratuslab.core.bus.metrics import PUBLISH_RETRIES
from stratuslab.core.bus.nats.connection import Connection
from stratuslab.core.bus.nats.streams import StreamLimits, ensure_streams
from stratuslab.core.errors import PermanentError, Unavailable

PUBLISH_SECONDS = 10.0
"""For how long storing a message is tried; longer than a change of leader in a cluster."""
_ATTEMPT_SECONDS = 2.0
_PAUSE_SECONDS = (0.05, 0.25)


class Publisher:
    """Shared by events and dead letters."""

    def __init__(self, connection: Connection, limits: StreamLimits) -> None:
        self.jetstream: JetStreamContext = connection.client.jetstream(timeout=_ATTEMPT_SECONDS)
        self._connection = connection
        self._limits = limits
        self._ensuring = asyncio.Lock()
        self._ensured = asyncio.Event()

    @property
    def ensured(self) -> bool:
        """Whether the streams were as they should be once."""
        return self._ensured.is_set()

    async def ensure_streams(self) -> None:
        """Makes the streams as they should be. Raises Unavailable."""
        async with self._ensuring:
            try:
                await ensure_streams(self.jetstream, self._limits)
            except (nats.errors.Error, TimeoutError) as error:
                raise Unavailable(f"The streams could not be made: {error}.") from error
            self._ensured.set()

    async def store(self, envelope: Envelope) -> None:
        """Returns when it is stored. Raises Unavailable, or PermanentError when it is refused."""
        clock = asyncio.get_running_loop()
        deadline = clock.time() + PUBLISH_SECONDS
        while True:
            remaining = deadline - clock.time()
            await self._connection.ready(max(remaining, 0.001))
            try:
                async with asyncio.timeout(remaining):
                    await self._ensured.wait()
                await self.jetstream.publish(
                    envelope.subject,
                    envelope.data,
                    timeout=min(_ATTEMPT_SECONDS, max(remaining, 0.001)),
                    headers=envelope.headers,
                )
            except nats.errors.MaxPayloadError:
                raise PermanentError(
                    f"A message for {envelope.subject} is larger than the bus carries."
                ) from None
            except (nats.errors.Error, TimeoutError) as error:
                if isinstance(error, nats.js.errors.APIError) and 400 <= (error.code or 0) < 500:
                    raise PermanentError(
                        f"The bus refuses to store {envelope.subject}: {error.description}."
                    ) from error
                failure = error
            else:
                return
            if clock.time() >= deadline:
                raise Unavailable(
                    f"The bus did not acknowledge {envelope.subject} in time."
                ) from failure
            PUBLISH_RETRIES.inc()
            await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311
            # A stream may be missing also when the attempt timed out: whoever listens to the
            # subject directly makes the server believe that somebody will acknowledge.
            with suppress(Unavailable):
                await self.ensure_streams()
