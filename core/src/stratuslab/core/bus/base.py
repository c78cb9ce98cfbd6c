"""What every bus can do: the port, its types and its promises.

Owns the `Bus` Protocol; adapters (`memory` for unit tests, `nats`) implement it and pass
`tests/contract/bus`.

Promises: none about delivery of hints. Events published are stored when `publish` returns.
A message may come twice or out of order; correctness must never hang on one.
Losing the connection raises nothing in the caller of `hint`; the adapter reconnects for ever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self, TypeVar

import msgspec

from stratuslab.core.contracts.messages import Address, DeadLetter, Event
from stratuslab.core.errors import Unavailable

P = TypeVar("P", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)


class NoResponders(Unavailable):
    """Nobody answers such queries at present."""

    code = "no-responders"


@dataclass(frozen=True, slots=True)
class Message:
    """A message as received. `headers` hold the CloudEvents attributes as `ce-*`."""

    subject: str
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The variable tokens: everything after `sl.<service>.v1.<kind>.<noun>.<verb>`."""
        return tuple(self.subject.split(".")[6:])


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event given to a consumer. `deliveries` counts how often, from 1."""

    id: str
    event: Event
    time: datetime | None
    deliveries: int
    sequence: int


class Consumer(Protocol):
    """Handles one event. Returning acknowledges it.

    `TransientError` asks for another delivery (after `retry_after_seconds`), `PermanentError`
    sends it to the dead letters at once, anything else is a bug: logged, delivered again.
    """

    async def __call__(self, delivery: Delivery) -> None: ...


class Bus(Protocol):
    """The port. Use as `async with`; all calls only inside it."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    @property
    def connected(self) -> bool:
        """Whether messages flow at present."""
        ...

    def hint(self, address: Address, **parameters: str) -> None:
        """Send a wake-up and forget it. Never blocks, never raises."""
        ...

    def hints(
        self, address: Address, *, shared: bool = False, **parameters: str
    ) -> AbstractAsyncContextManager[AsyncIterator[Message]]:
        """Subscribe: `async with bus.hints(ADDRESS) as hints: async for hint in hints: …`.

        `shared`: each message goes to one of the processes that subscribed so. Parameters that
        are given narrow the subscription. Under overload the oldest hints are dropped.
        """
        ...

    async def query(
        self, address: Address, payload: P, reply: type[R], *, timeout: float, **parameters: str
    ) -> R:
        """Ask and wait. Raises NoResponders at once, Unavailable on time-out, and the error
        that the answering side raised (its code and message, as a StratusLabError)."""
        ...

    def answers(
        self,
        address: Address,
        answer: Callable[[P], Awaitable[R]],
        *,
        shared: bool = False,
        **parameters: str,
    ) -> AbstractAsyncContextManager[None]:
        """Answer queries of this family while the context is open."""
        ...

    async def publish(self, id: str, event: Event, *, time: datetime | None = None) -> None:
        """Store an event for integrations. The same `id` again is stored once.

        Raises Unavailable when no acknowledgement came in time: publish again, same id.
        """
        ...

    def consume(
        self, name: str, addresses: tuple[Address, ...], consumer: Consumer
    ) -> AbstractAsyncContextManager[None]:
        """Handle stored events under a durable name while the context is open; processes with
        the same name share the work. What fails too often becomes a dead letter."""
        ...

    async def dead_letters(self, limit: int = 100) -> list[tuple[int, DeadLetter]]:
        """The dead letters, oldest first, with their sequence."""
        ...

    async def replay(self, sequence: int) -> None:
        """Publish a dead letter's event again, under a new id, and remove the letter."""
        ...

    async def discard(self, sequence: int) -> None:
        """Remove a dead letter."""
        ...
