"""What all CIMI representations have in common: names, references, operations, the viewpoint.

A representation is a msgspec structure whose fields carry CIMI's attribute names in the order of
CIMI's tables. It says everything about a resource that a format needs: JSON is encoded from it
directly, another format walks its fields. Pure: no store, no clock, no web.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, TypeVar

import msgspec

from stratuslab.core.documents.frame import Acl, Document, Right, RightName

NAMESPACE = "http://schemas.dmtf.org/cimi/1"
EXTENSION_NAMESPACE = "https://stratuslab.eu/cimi/1"
ACTION = f"{NAMESPACE}/action"

T = TypeVar("T")
Extension = Annotated[T, msgspec.Meta(extra={"extension": True})]
"""Marks an attribute that is not CIMI's: other formats put it into EXTENSION_NAMESPACE."""

Principal = Annotated[str, msgspec.Meta(pattern=r"^(user|role)/[A-Za-z0-9_.@-]{1,128}\Z")]

_IRREGULAR = {"address": "addresses"}


@cache
def collection_name(kind: str) -> str:
    """The collection of a kind of document, e.g. `machine-image` → `machineImages`.

    It is the last part of the collection's URI and the name of the array of its items.
    """
    first, *rest = kind.split("-")
    words = first + "".join(word.capitalize() for word in rest)
    return _IRREGULAR.get(words, f"{words}s")


class Reference(msgspec.Struct, frozen=True):
    """A reference to another resource."""

    href: str


class Operation(msgspec.Struct, frozen=True):
    """Something this viewer may do now: `rel` names it, `href` is where to send it."""

    rel: str
    href: str


class AclRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One grant: `principal` is `user/<id>` or `role/<NAME>`."""

    principal: Principal
    right: RightName


class AccessControl(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Who owns a resource and what others may do with it."""

    owner: Principal
    rules: Annotated[list[AclRule], msgspec.Meta(max_length=100)] = []


class Representation(
    msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True, tag_field="resourceURI"
):
    """The common attributes. Subclasses set `tag` to their type URI; absent means undefined."""

    id: str = ""
    name: str = ""
    description: str = ""
    created: datetime | None = None
    updated: datetime | None = None
    properties: dict[str, str] = {}
    acl: Extension[AccessControl | None] = None
    """Shown to those who may change it."""
    operations: list[Operation] = []


@dataclass(frozen=True, slots=True)
class View:
    """From where a resource is looked at: all that a representation may depend on, beside it."""

    base: str
    """Absolute URI under which all resources live, ending in "/"."""
    right: Right
    """What the viewer may do with this resource."""
    administrator: bool = False

    def collection(self, kind: str) -> str:
        """URI of the collection of a kind."""
        return f"{self.base}{collection_name(kind)}"

    def resource(self, kind: str, id: str) -> str:
        """URI of a document."""
        return f"{self.base}{collection_name(kind)}/{id}"

    def reference(self, key: str) -> Reference:
        """Reference to the document with this key (`kind/id`), or to a kind's collection."""
        kind, slash, id = key.partition("/")
        return Reference(self.resource(kind, id) if slash else self.collection(kind))


def complete(representation: Representation, document: Document, kind: str, view: View) -> None:
    """Fills in the common attributes of a document."""
    representation.id = view.resource(kind, document.id)
    representation.name = document.name
    representation.description = document.description
    representation.created = document.created
    representation.updated = document.updated
    representation.properties = document.properties
    if view.right is Right.ALL:
        representation.acl = access_control(document.acl)


def access_control(acl: Acl) -> AccessControl:
    """An ACL as it is shown."""
    return AccessControl(acl.owner, [AclRule(rule.principal, rule.right) for rule in acl.rules])
