"""The frame every document has: identity, ownership, rights, wanted version.

Pure: no clock but `now()`, no I/O. Who may write which part: `spec` the front, `assignment` the
scheduler or an allocator, `status` the controller or agent that observes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum
from typing import Literal

import msgspec

ANONYMOUS = "role/ANON"
"""Everybody, also without credentials."""
ANY_USER = "role/USER"
"""Everybody with an account."""
ADMINISTRATOR = "role/ADMIN"


def now() -> datetime:
    """Wall-clock time in UTC, to the millisecond; for people and accounting, never for order."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class Right(IntEnum):
    """What a principal may do, each level including those below it."""

    NONE = 0
    VIEW = 1
    MODIFY = 2
    ALL = 3


RightName = Literal["VIEW", "MODIFY", "ALL"]


class Rule(msgspec.Struct, frozen=True, rename="camel"):
    """One grant. `principal` is `user/<id>` or `role/<NAME>`."""

    principal: str
    right: RightName


class Acl(msgspec.Struct, rename="camel"):
    """Who owns a document and what others may do with it."""

    owner: str
    """The owning principal, `user/<id>` or `role/<NAME>`; it has every right."""
    rules: list[Rule] = []

    def right_of(self, principals: frozenset[str]) -> Right:
        """The highest right that any of these principals has. Administrators have all."""
        if self.owner in principals or ADMINISTRATOR in principals:
            return Right.ALL
        best = Right.NONE
        for rule in self.rules:
            if rule.principal in principals:
                best = max(best, Right[rule.right])
        return best

    def readers(self) -> list[str]:
        """Every principal that may see the document: what the `principals` index holds."""
        return sorted({self.owner, ADMINISTRATOR, *(rule.principal for rule in self.rules)})


class Condition(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Something that is true of a resource and that people may want to know."""

    type: str
    """A fixed word, e.g. `Failed`, `Scheduled`, `Quarantined`."""
    reason: str
    """A fixed word telling why, for programs: an error's code where there was one."""
    message: str = ""
    since: datetime | None = None


class Document(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True, tag_field="kind"):
    """What all documents have in common. Subclasses set `tag` to the name of their kind.

    Fields this version does not know are kept on write (see `codec.encode`).
    """

    id: str
    """Unique within the kind: a UUID, or a natural key such as a host's name."""
    schema_version: int = 1
    owner: str = ""
    """Id of the user who is charged for it; empty for the cloud's own documents."""
    acl: Acl = msgspec.field(default_factory=lambda: Acl(owner=ADMINISTRATOR))
    name: str = ""
    description: str = ""
    properties: dict[str, str] = {}
    created: datetime | None = None
    updated: datetime | None = None
    """Last change of something a user can write; state changes do not touch it."""
    generation: int = 1
    """Version of `spec`: the front adds one with each change of it."""
    finalizers: list[str] = []
    deletion_requested: datetime | None = None
    """The tombstone: only with it set is anything on a host destroyed."""
