"""What every document store can do: the port, its types and its promises.

Owns the `Store` Protocol; adapters (`memory`, `sqlite`, later Couchbase) implement it and pass
`tests/contract/store`. Services use nothing else of a store.

Promises
* A write is one compare-and-swap on one document, or an `atomic` group of them.
* An acknowledged write survives a kill of any process; with SQLite also a loss of power.
* `rev` is opaque and differs after each write; compare it for equality only.
* Lists are ordered by one declared field, then by id, and may lag behind writes of others on a
  cluster; a process sees its own acknowledged writes.
* Expired documents (ttl) are never returned.
* A document that cannot be decoded raises UnreadableDocument when it is asked for by its id; what
  reads many documents logs it and leaves it out.

Errors: NotFound, AlreadyExists (also for unique fields), Conflict (rev is old), TooLarge,
Unavailable (nothing happened), Ambiguous (it may have happened: re-read and compare).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import msgspec

from stratuslab.core.contracts.messages import Event
from stratuslab.core.documents.frame import Document
from stratuslab.core.documents.kinds import FieldValue, Kind

D = TypeVar("D", bound=Document)
D_co = TypeVar("D_co", bound=Document, covariant=True)

MAX_PAGE = 1000
MAX_ATOMIC_WRITES = 32


@dataclass(frozen=True, slots=True)
class Stored(Generic[D_co]):
    """A document as read: with its revision and the bytes it was read from."""

    document: D_co
    rev: str
    body: bytes


class Revision(msgspec.Struct, frozen=True):
    """Id and revision of a document, without its body."""

    id: str
    rev: str


@dataclass(frozen=True, slots=True)
class Query(Generic[D]):
    """Which documents of a kind, in which order.

    `where`: equality on declared fields, all must hold. `visible_to`: only documents whose ACL
    lets one of these principals read; None asks as the cloud itself. `order_by`: a declared
    field, or `id`; a leading "-" reverses. `after`: the `next` of the page before.
    What cannot be asked (limit, undeclared field, damaged cursor) raises InvalidRequest.
    """

    kind: Kind[D]
    where: Mapping[str, FieldValue] = field(default_factory=dict)
    visible_to: frozenset[str] | None = None
    order_by: str = "id"
    after: str | None = None
    limit: int = 100
    """At most MAX_PAGE."""


@dataclass(frozen=True, slots=True)
class Page(Generic[D]):
    """A page of documents. `next` goes into the next query's `after`; None on the last page."""

    items: list[Stored[D]]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class KeyPage:
    """A page of revisions without bodies."""

    items: list[Revision]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Insert:
    """Write a new document. `ttl_seconds`: it vanishes after that time."""

    document: Document
    events: Sequence[Event] = ()
    ttl_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Replace:
    """Write a new version of a document that was read before.

    Without `ttl_seconds` it vanishes when it would have, if at all.
    """

    was: Stored[Any]
    document: Document
    events: Sequence[Event] = ()
    ttl_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a document that was read before."""

    was: Stored[Any]
    events: Sequence[Event] = ()


@dataclass(frozen=True, slots=True)
class Put:
    """Write blindly; only for volatile kinds."""

    document: Document
    ttl_seconds: float | None = None


Write = Insert | Replace | Remove | Put


class Change(msgspec.Struct, frozen=True):
    """One line of the change log. `sequence` only grows within an epoch."""

    sequence: int
    kind: str
    id: str
    rev: str
    operation: str
    """`insert`, `replace` or `remove`"""


class OutboxEntry(msgspec.Struct, frozen=True):
    """An integration event waiting to be published; `id` never changes, also after a crash."""

    id: str
    sequence: int
    event: Event


class StoreIdentity(msgspec.Struct, frozen=True, rename="camel"):
    """Which store this is and how far it has come.

    `epoch` grows when a backup is restored; `sequence` with every write. Hosts remember the
    highest (epoch, sequence) they have seen and refuse to act for less.
    """

    cloud_id: str
    epoch: int
    sequence: int


class Store(Protocol):
    """The port. Use as `async with`; all calls only inside it."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def identity(self) -> StoreIdentity:
        """Cloud id, epoch and present sequence."""
        ...

    async def get(self, kind: Kind[D], id: str) -> Stored[D]:
        """The document. Raises NotFound."""
        ...

    async def find(self, kind: Kind[D], id: str) -> Stored[D] | None:
        """The document, or None."""
        ...

    async def get_many(self, kind: Kind[D], ids: Sequence[str]) -> dict[str, Stored[D]]:
        """Those of the documents that exist, by id. At most MAX_PAGE ids."""
        ...

    async def revision(self, kind: Kind[D], id: str) -> str | None:
        """The present revision, or None when there is no such document. Cheap."""
        ...

    async def insert(
        self, document: D, *, events: Sequence[Event] = (), ttl_seconds: float | None = None
    ) -> Stored[D]:
        """Write a new document. Raises AlreadyExists."""
        ...

    async def replace(
        self, was: Stored[D], document: D, *, events: Sequence[Event] = ()
    ) -> Stored[D]:
        """Write a new version. Raises Conflict when `was` is no longer the present one."""
        ...

    async def update(
        self,
        kind: Kind[D],
        id: str,
        change: Callable[[D], Sequence[Event] | None],
    ) -> Stored[D]:
        """Read, let `change` mutate the document in place, write; again on Conflict, with jitter.

        `change` returns the events to publish with the write. When it leaves the document as it
        was, nothing is written. It may be called several times and must touch only its own part.
        Raises NotFound, Conflict after many attempts, and what `change` raises.
        """
        ...

    async def remove(self, was: Stored[D], *, events: Sequence[Event] = ()) -> None:
        """Remove this version. Raises Conflict or NotFound."""
        ...

    async def put(self, document: D, *, ttl_seconds: float | None = None) -> None:
        """Write blindly. Only for volatile kinds."""
        ...

    async def atomic(self, writes: Sequence[Write]) -> list[str]:
        """All writes or none, at most MAX_ATOMIC_WRITES; the new revisions in order.

        Raises the error of the first write that fails. A removed document's revision is "".
        """
        ...

    async def list_revisions(self, query: Query[D]) -> KeyPage:
        """One page of ids and revisions: for caches that hold the bodies."""
        ...

    async def count(self, query: Query[D]) -> int:
        """How many documents match, exactly; order, after and limit are ignored."""
        ...

    def scan(self, kind: Kind[D]) -> AsyncIterator[Stored[D]]:
        """Every document of a kind, by id; for maintenance only."""
        ...

    async def counter(self, name: str, block: int = 1) -> int:
        """Takes the next `block` numbers, returns the first; starts at 1, gaps are allowed."""
        ...

    def watch(self) -> AsyncIterator[Change]:
        """Changes from now on. A hint: whoever needs certainty also sweeps.

        Iterating raises Unavailable for a watcher that is too slow for the log, and ends when
        the store is closed.
        """
        ...

    async def changes(self, after: int, limit: int = 1000) -> list[Change]:
        """The change log after this sequence; old lines are pruned."""
        ...

    async def outbox(self, limit: int = 256) -> list[OutboxEntry]:
        """Events not yet confirmed as published, oldest first; those of one write together."""
        ...

    async def published(self, sequence: int) -> None:
        """Confirms every outbox entry up to this sequence."""
        ...

    # Last, because inside this class its name hides the built-in type from here on.
    async def list(self, query: Query[D]) -> Page[D]:
        """One page of documents."""
        ...
