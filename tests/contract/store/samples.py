"""Kinds of documents made for tests: small, with every sort of declared field."""

from __future__ import annotations

import msgspec

from stratuslab.core.documents.frame import ADMINISTRATOR, Acl, Document, Rule
from stratuslab.core.documents.kinds import Field, Kind


class Binding(msgspec.Struct, rename="camel", omit_defaults=True):
    """A structure inside a document."""

    colour: str = ""


class Paper(Document, tag="test-paper"):
    """A document with text, numbers, absent values and a unique number."""

    size: int = 0
    shelf: str | None = None
    number: int | None = None
    lent: bool = False
    binding: Binding = msgspec.field(default_factory=Binding)


PAPER = Kind(
    "test-paper",
    Paper,
    (
        Field("title", lambda p: p.name),
        Field("size", lambda p: p.size),
        Field("shelf", lambda p: p.shelf),
        Field("number", lambda p: p.number, unique=True),
        Field("lent", lambda p: p.lent),
    ),
)


class Note(Document, tag="test-note"):
    """A document without fields, that nobody but the cloud lists."""


NOTE = Kind("test-note", Note, visible=False)


class Pulse(Document, tag="test-pulse"):
    """A document that is written blindly."""

    beats: int = 0


PULSE = Kind(
    "test-pulse", Pulse, (Field("beats", lambda p: p.beats),), visible=False, volatile=True
)


def paper(
    id: str,
    title: str = "",
    *,
    owner: str = ADMINISTRATOR,
    readers: tuple[str, ...] = (),
    size: int = 0,
    shelf: str | None = None,
    number: int | None = None,
    lent: bool = False,
) -> Paper:
    """A paper of this owner that these principals may read as well."""
    return Paper(
        id=id,
        name=title,
        acl=Acl(owner=owner, rules=[Rule(reader, "VIEW") for reader in readers]),
        size=size,
        shelf=shelf,
        number=number,
        lent=lent,
    )
