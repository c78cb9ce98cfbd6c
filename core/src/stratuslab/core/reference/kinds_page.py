"""The page of document kinds: their fields, and those by which a store can be asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from stratuslab.core.documents.frame import Document
from stratuslab.core.documents.kinds import Kind, kinds
from stratuslab.core.reference.discovery import NAMESPACE
from stratuslab.core.reference.field_docs import field_docs, first_paragraph
from stratuslab.core.reference.markdown import code, table

INTRODUCTION = """# Document kinds

The document store holds the complete state of the cloud. A document's key is `kind/id`; fields
this version does not know are kept on write. `spec` is what the user wants and is written by the
API, `assignment` what was given out, `status` what was observed and can be rebuilt.

Indexed fields are those by which a store can be asked; in a kind that is listed as *visible to
me* also everyone its ACL lets read is indexed.

"""
COMMON = frozenset(field.name for field in field_docs(Document))


def kinds_page() -> str:
    """The page."""
    every = sorted(_installed(), key=lambda each: each.name)
    summary = table(
        ("Kind", "What it is", "Indexed fields", "Visible to me", "Volatile"),
        [
            (
                f"[{each.name}](#{each.name})",
                first_paragraph(each.type),
                ", ".join(_indexed(each)),
                "yes" if each.visible else "",
                "yes" if each.volatile else "",
            )
            for each in every
        ],
    )
    common = f"## Every document\n\n{_fields(Document)}"
    own = "\n".join(
        f"## {each.name}\n\n{first_paragraph(each.type)}\n\n{_fields(each.type, leave_out=COMMON)}"
        for each in every
    )
    return f"{INTRODUCTION}{summary}\n{common}\n{own}"


def _installed() -> Iterator[Kind[Any]]:
    return (each for each in kinds() if each.type.__module__.startswith(NAMESPACE))


def _indexed(kind: Kind[Any]) -> list[str]:
    return [code(each.name) + (" (unique)" if each.unique else "") for each in kind.fields]


def _fields(structure: type[msgspec.Struct], leave_out: frozenset[str] = frozenset()) -> str:
    rows = _rows(structure, "", leave_out)
    return table(("Field", "Type", "Meaning"), rows)


def _rows(
    structure: type[msgspec.Struct], prefix: str, leave_out: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str, str]]:
    """The fields; those of a structure inside follow with their path."""
    for field in field_docs(structure):
        if field.name in leave_out:
            continue
        path = f"{prefix}{field.name}"
        inner = field.structure
        yield code(path), code(field.annotation), field.doc or first_paragraph(inner)
        if inner is not None:
            yield from _rows(inner, f"{path}[]." if field.several else f"{path}.")
