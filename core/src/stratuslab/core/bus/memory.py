"""A bus within one process, for unit tests. Same promises as NATS, nothing survives.

Buses that share a hub see each other as processes would: `hub = MemoryBus.hub()`, then
`MemoryBus(hub)` for each.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
import structlog
from structlog.contextvars import bound_contextvars

from stratuslab.core.bus.background import background
from stratuslab.core.bus.base import Consumer, Message, NoResponders
from stratuslab.core.bus.deliveries import Again, DeliveryLimits, judge, trace_of
from stratuslab.core.bus.envelope import MESSAGE_ID_HEADER, Envelope, headers_for, seal, unseal
from stratuslab.core.bus.hint_queue import HintQueue
from stratuslab.core.bus.letters import replay_of
from stratuslab.core.bus.problems import error_of, headers_of, problem_of
from stratuslab.core.contracts.messages import Address, DeadLetter, Event
from stratuslab.core.errors import InvalidRequest, NotFound, StratusLabError, Unavailable

log = structlog.get_logger(__name__)

P = TypeVar("P", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)

MAX_STORED = 100_000


@dataclass(eq=False)
class _Subscriber:
    pattern: str
    shared: bool
    waiting: HintQueue


@dataclass(eq=False)
class _Answerer:
    address: Address
    pattern: str
    answer: Callable[[Any], Awaitable[msgspec.Struct]]


@dataclass(eq=False)
class _Durable:
    """What is left to do for the consumers of one name: (sequence, deliveries so far)."""

    patterns: tuple[str, ...]
    todo: asyncio.Queue[tuple[int, int]] = field(default_factory=asyncio.Queue)


class Hub:
    """What a nats-server would hold."""

    def __init__(self) -> None:
        self.subscribers: list[_Subscriber] = []
        self.answerers: list[_Answerer] = []
        self.durables: dict[str, _Durable] = {}
        self.stored: dict[int, Envelope] = {}
        self.letters: dict[int, DeadLetter] = {}
        self.known_ids: set[str] = set()
        self.numbers = itertools.count(1)

    def send(self, message: Message) -> None:
        """To every subscriber, and to one of those who share."""
        matching = [each for each in self.subscribers if matches(each.pattern, message.subject)]
        shared = [each for each in matching if each.shared]
        lucky = random.choice(shared) if shared else None  # noqa: S311
        for each in matching:
            if not each.shared or each is lucky:
                each.waiting.put(message)

    def store(self, envelope: Envelope) -> None:
        """Keeps it for the durable consumers; the same id again is ignored."""
        id = envelope.headers[MESSAGE_ID_HEADER]
        if id in self.known_ids:
            return
        self.known_ids.add(id)
        sequence = next(self.numbers)
        self.stored[sequence] = envelope
        if len(self.stored) > MAX_STORED:
            del self.stored[next(iter(self.stored))]
        for durable in self.durables.values():
            if any(matches(pattern, envelope.subject) for pattern in durable.patterns):
                durable.todo.put_nowait((sequence, 0))

    def durable(self, name: str, patterns: tuple[str, ...]) -> _Durable:
        """The consumer of this name; a new one begins with all that is stored."""
        if name not in self.durables:
            durable = self.durables[name] = _Durable(patterns)
            for sequence, envelope in self.stored.items():
                if any(matches(pattern, envelope.subject) for pattern in patterns):
                    durable.todo.put_nowait((sequence, 0))
        return self.durables[name]


_shared_hub = Hub()


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject fits a subscription without `>`."""
    wanted, given = pattern.split("."), subject.split(".")
    return len(wanted) == len(given) and all(
        w in ("*", g) for w, g in zip(wanted, given, strict=True)
    )


class MemoryBus:
    """A Bus on a hub of its own, or a given one."""

    def __init__(self, hub: Hub | None = None, *, deliveries: DeliveryLimits | None = None) -> None:
        self._hub = hub or Hub()
        self._deliveries = deliveries or DeliveryLimits()
        self.connected = False

    @staticmethod
    def hub() -> Hub:
        """A new hub for buses that are to see each other."""
        return Hub()

    @staticmethod
    def process_hub() -> Hub:
        """The one that `open_bus("memory:")` uses."""
        return _shared_hub

    async def __aenter__(self) -> Self:
        self.connected = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.connected = False

    def hint(self, address: Address, **parameters: str) -> None:
        """See Bus.hint."""
        try:
            subject = address.subject(**parameters)
        except (KeyError, ValueError) as error:
            log.error("bus.hint_refused", address=address.name, reason=str(error))
            return
        self._hub.send(Message(subject, b"", headers_for(address)))

    @asynccontextmanager
    async def hints(
        self, address: Address, *, shared: bool = False, **parameters: str
    ) -> AsyncIterator[AsyncIterator[Message]]:
        """See Bus.hints."""
        subscriber = _Subscriber(address.pattern(**parameters), shared, HintQueue())
        self._hub.subscribers.append(subscriber)
        try:
            yield subscriber.waiting
        finally:
            self._hub.subscribers.remove(subscriber)

    async def query(
        self, address: Address, payload: P, reply: type[R], *, timeout: float, **parameters: str
    ) -> R:
        """See Bus.query."""
        subject = address.subject(**parameters)
        able = [each for each in self._hub.answerers if matches(each.pattern, subject)]
        if not able:
            raise NoResponders(f"Nobody answers {address.name} at present.")
        body = msgspec.json.encode(payload)
        try:
            async with asyncio.timeout(timeout):
                answer = await _answer(random.choice(able), body)  # noqa: S311
        except TimeoutError:
            raise Unavailable(
                f"The query {address.name} was not answered within {timeout:g} s."
            ) from None
        return msgspec.json.decode(answer, type=reply)

    @asynccontextmanager
    async def answers(
        self,
        address: Address,
        answer: Callable[[P], Awaitable[R]],
        *,
        shared: bool = False,  # noqa: ARG002  one of all those able answers in any case
        **parameters: str,
    ) -> AsyncIterator[None]:
        """See Bus.answers."""
        answerer = _Answerer(address, address.pattern(**parameters), answer)
        self._hub.answerers.append(answerer)
        try:
            yield
        finally:
            self._hub.answerers.remove(answerer)

    async def publish(self, id: str, event: Event, *, time: datetime | None = None) -> None:
        """See Bus.publish."""
        self._hub.store(seal(id, event, time))

    @asynccontextmanager
    async def consume(
        self, name: str, addresses: tuple[Address, ...], consumer: Consumer
    ) -> AsyncIterator[None]:
        """See Bus.consume."""
        durable = self._hub.durable(name, tuple(address.wildcard for address in addresses))
        async with background() as beside:
            beside.start(self._handle_all(name, durable, consumer))
            yield

    async def _handle_all(self, name: str, durable: _Durable, consumer: Consumer) -> None:
        clock = asyncio.get_running_loop()
        while True:
            sequence, before = await durable.todo.get()
            envelope = self._hub.stored.get(sequence)
            if envelope is None:
                continue
            deliveries = before + 1
            try:
                delivery = unseal(
                    envelope.headers, envelope.data, deliveries=deliveries, sequence=sequence
                )
                with bound_contextvars(**trace_of(envelope.headers)):
                    await consumer(delivery)
            except asyncio.CancelledError:
                durable.todo.put_nowait((sequence, deliveries))
                raise
            except Exception as error:
                if not isinstance(error, StratusLabError):
                    log.exception("bus.consumer_failed", consumer=name)
                match judge(error, deliveries, self._deliveries):
                    case Again(after_seconds):
                        again = (sequence, deliveries)
                        clock.call_later(after_seconds, durable.todo.put_nowait, again)
                    case given_up:
                        self._bury(name, envelope, sequence, deliveries, given_up.reason)

    def _bury(
        self, consumer: str, envelope: Envelope, sequence: int, deliveries: int, reason: str
    ) -> None:
        self._hub.letters[next(self._hub.numbers)] = DeadLetter(
            stream="memory",
            consumer=consumer,
            subject=envelope.subject,
            sequence=sequence,
            deliveries=deliveries,
            reason=reason,
            headers=envelope.headers,
            data=envelope.data,
        )

    async def dead_letters(self, limit: int = 100) -> list[tuple[int, DeadLetter]]:
        """See Bus.dead_letters."""
        return list(itertools.islice(self._hub.letters.items(), limit))

    async def replay(self, sequence: int) -> None:
        """See Bus.replay."""
        if sequence not in self._hub.letters:
            raise NotFound("There is no such dead letter.")
        self._hub.store(replay_of(self._hub.letters[sequence], sequence))
        await self.discard(sequence)

    async def discard(self, sequence: int) -> None:
        """See Bus.discard."""
        if self._hub.letters.pop(sequence, None) is None:
            raise NotFound("There is no such dead letter.")


async def _answer(answerer: _Answerer, body: bytes) -> bytes:
    """The answer in JSON; an error takes the way it would take over NATS."""
    assert answerer.address.payload is not None
    try:
        try:
            payload = msgspec.json.decode(body, type=answerer.address.payload)
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"The query is not understood: {error}.") from error
        return msgspec.json.encode(await answerer.answer(payload))
    except TimeoutError:
        raise
    except Exception as error:
        if not isinstance(error, StratusLabError):
            log.exception("bus.answer_failed", address=answerer.address.name)
        problem = problem_of(error)
        raise error_of(headers_of(problem), msgspec.json.encode(problem)) from None
