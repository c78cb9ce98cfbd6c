"""The registry of document kinds: name, type and the fields that the store indexes.

A kind is declared once, beside its type in `stratuslab.core.contracts`; every store adapter
makes its tables or indexes from this declaration. No I/O here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from stratuslab.core.documents.frame import Document

D = TypeVar("D", bound=Document)

FieldValue = str | int | None
"""Booleans are indexed as 0 and 1, dates as their ISO text."""


@dataclass(frozen=True)
class Field(Generic[D]):
    """A declared field: computed from the document at each write, indexed by the store."""

    name: str
    value: Callable[[D], FieldValue]
    unique: bool = False
    """Two documents with the same value, None apart, are refused with AlreadyExists."""


@dataclass(frozen=True)
class Kind(Generic[D]):
    """One kind of document. Key in the store: `name/id`."""

    name: str
    type: type[D]
    fields: tuple[Field[D], ...] = ()
    visible: bool = True
    """Whether lists are asked for "visible to me": the ACL's readers are indexed."""
    volatile: bool = False
    """Caches and heartbeats: may be written blindly (`Store.put`), leave no change record."""
    by_name: dict[str, Field[D]] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {each.name: each for each in self.fields})
        known = _KINDS.get(self.name)
        assert known is None or known.type is self.type, f"kind {self.name} declared twice"
        _KINDS[self.name] = self

    def key(self, id: str) -> str:
        """The store's key of the document with this id."""
        return f"{self.name}/{id}"


_KINDS: dict[str, Kind[Any]] = {}


def kinds() -> Iterable[Kind[Any]]:
    """Every declared kind; importing `stratuslab.core.contracts` declares them all."""
    return _KINDS.values()


def kind_named(name: str) -> Kind[Any]:
    """The kind with this name. Raises KeyError."""
    return _KINDS[name]
