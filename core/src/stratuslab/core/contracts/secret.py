"""Secrets at rest, apart from the documents they belong to."""

from __future__ import annotations

from stratuslab.core.documents.frame import Document
from stratuslab.core.documents.kinds import Kind


class Secret(Document, tag="secret"):
    """Encrypted bytes for the document with the same id, e.g. a machine's user data."""

    sealed: str
    """Made and opened by `stratuslab.core.security.vault`; useless without the cloud's key."""


SECRET = Kind("secret", Secret, visible=False)
