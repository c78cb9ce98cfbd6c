"""Messages that were given up: kept in a stream of their own, listed, replayed, discarded."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import msgspec
import nats.errors
import nats.js.errors
import structlog
from nats.aio.msg import Msg
from nats.js import api

from stratuslab.core.bus.letters import replay_of, seal_letter
from stratuslab.core.bus.nats.publisher import Publisher
from stratuslab.core.bus.nats.streams import DEAD_LETTERS
from stratuslab.core.contracts.messages import DeadLetter
from stratuslab.core.errors import NotFound, PermanentError, Unavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")


class DeadLetters:
    """The letters of this cloud."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._jetstream = publisher.jetstream

    async def write(self, message: Msg, consumer: str, reason: str) -> None:
        """Keeps what this consumer could not handle. Written twice, it is kept once."""
        origin = message.metadata
        letter = DeadLetter(
            stream=origin.stream,
            consumer=consumer,
            subject=message.subject,
            sequence=origin.sequence.stream,
            deliveries=origin.num_delivered,
            reason=reason,
            headers=message.headers or {},
            data=message.data,
        )
        try:
            await self._publisher.store(seal_letter(letter))
        except PermanentError:
            # Base64 made it larger than the bus carries; a replay takes it from its stream.
            letter = msgspec.structs.replace(letter, data=b"")
            await self._publisher.store(seal_letter(letter))
        log.error(
            "bus.dead_letter",
            consumer=consumer,
            subject=letter.subject,
            deliveries=letter.deliveries,
            reason=reason,
        )

    async def list(self, limit: int) -> list[tuple[int, DeadLetter]]:
        """The oldest letters with their sequence. Raises Unavailable."""
        letters: list[tuple[int, DeadLetter]] = []
        sequence = 0
        while len(letters) < limit:
            try:
                stored = await _answered(
                    self._jetstream.get_msg(
                        DEAD_LETTERS, seq=sequence + 1, subject="sl.>", next=True
                    )
                )
            except NotFound:
                break
            sequence, letter = _letter(stored)
            letters.append((sequence, letter))
        return letters

    async def replay(self, sequence: int) -> None:
        """See Bus.replay. Raises NotFound, Unavailable."""
        stored = await _answered(self._jetstream.get_msg(DEAD_LETTERS, seq=sequence))
        _, letter = _letter(stored)
        if not letter.data:
            origin = await _answered(self._jetstream.get_msg(letter.stream, seq=letter.sequence))
            letter = msgspec.structs.replace(letter, data=origin.data or b"")
        await self._publisher.store(replay_of(letter, sequence))
        await self.discard(sequence)

    async def discard(self, sequence: int) -> None:
        """See Bus.discard. Raises NotFound, Unavailable."""
        await _answered(self._jetstream.delete_msg(DEAD_LETTERS, sequence))


async def _answered(request: Awaitable[T]) -> T:
    try:
        return await request
    except nats.js.errors.NotFoundError:
        raise NotFound("There is no such dead letter.") from None
    except nats.js.errors.APIError as error:
        if error.err_code == _NO_SUCH_SEQUENCE:
            raise NotFound("There is no such dead letter.") from None
        raise Unavailable(f"The dead letters cannot be reached: {error.description}.") from error
    except (nats.errors.Error, TimeoutError) as error:
        raise Unavailable("The dead letters cannot be reached.") from error


_NO_SUCH_SEQUENCE = 10043


def _letter(stored: api.RawStreamMsg) -> tuple[int, DeadLetter]:
    assert stored.seq is not None
    return stored.seq, msgspec.json.decode(stored.data or b"", type=DeadLetter)
