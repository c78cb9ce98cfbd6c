"""Documents: their common frame, the registry of kinds, and how they become bytes and back."""

from stratuslab.core.documents.frame import (
    Acl,
    Condition,
    Document,
    Right,
    Rule,
    now,
)
from stratuslab.core.documents.kinds import Field, Kind, kind_named, kinds

__all__ = [
    "Acl",
    "Condition",
    "Document",
    "Field",
    "Kind",
    "Right",
    "Rule",
    "kind_named",
    "kinds",
    "now",
]
