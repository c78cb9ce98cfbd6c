"""Types and limits of what a client may write; every limit of an input value stands here."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from stratuslab.cimi_api.model.common import AccessControl
from stratuslab.core.documents.frame import Acl, Document, Rule

MAX_CPU = 256
MAX_MEMORY_KIB = 4 * 1024**3
"""4 TiB."""
MAX_DISK_KB = 64 * 10**9
"""64 TB."""
MAX_USER_DATA_BYTES = 64 * 1024
MAX_PROPERTIES = 64

_LINE = r"^[^\x00-\x1f\x7f]*\Z"
_TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*\Z"

Name = Annotated[str, msgspec.Meta(max_length=255, pattern=_LINE)]
Text = Annotated[str, msgspec.Meta(max_length=4096, pattern=_TEXT)]
Uri = Annotated[str, msgspec.Meta(min_length=1, max_length=2048, pattern=_LINE)]
Properties = Annotated[dict[Name, Text], msgspec.Meta(max_length=MAX_PROPERTIES)]
Cpu = Annotated[int, msgspec.Meta(ge=1, le=MAX_CPU)]
MemoryKib = Annotated[int, msgspec.Meta(ge=1024, le=MAX_MEMORY_KIB)]
Architecture = Annotated[str, msgspec.Meta(pattern=r"^(x86_64|aarch64|ARM)\Z")]
Base64Text = Annotated[str, msgspec.Meta(max_length=MAX_USER_DATA_BYTES * 2)]


class Body(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The common attributes of a resource as a client writes them; null erases like absence."""

    resource_uri: str | None = msgspec.field(default=None, name="resourceURI")
    name: Name | None = None
    description: Text | None = None
    properties: Properties | None = None
    acl: AccessControl | None = None


class ReferenceBody(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A reference as a client writes it."""

    href: Uri


class ActionBody(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The body of an action. Which action is decided by the URI alone."""

    resource_uri: str | None = msgspec.field(default=None, name="resourceURI")
    action: Text | None = None
    force: bool | None = None
    properties: Properties | None = None


def apply_common(document: Document, body: Body, *, at: datetime) -> None:
    """Writes the common attributes, except the ACL."""
    document.name = body.name or ""
    document.description = body.description or ""
    document.properties = dict(body.properties or {})
    document.updated = at


def take_common(body: Body, document: Document) -> None:
    """Sets the body's common attributes to what the document has now, except the ACL."""
    body.name = document.name
    body.description = document.description
    body.properties = document.properties


def stored_acl(acl: AccessControl) -> Acl:
    """An ACL as it is kept."""
    return Acl(acl.owner, [Rule(rule.principal, rule.right) for rule in acl.rules])
