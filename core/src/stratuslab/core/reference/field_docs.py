"""The fields of a structure with their types and the docstrings below them, from the source.

At run time a field has no docstring; the source does.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Union, get_args, get_origin

import msgspec


@dataclass(frozen=True)
class FieldDoc:
    """One field: its name in JSON, its type as written, what is said below it."""

    name: str
    annotation: str
    doc: str
    structure: type[msgspec.Struct] | None
    """The structure it holds, when it holds one or a list of them."""
    several: bool


@cache
def field_docs(structure: type[msgspec.Struct]) -> tuple[FieldDoc, ...]:
    """The structure's own and inherited fields, in order."""
    written: dict[str, tuple[str, str]] = {}
    for each in reversed(structure.__mro__):
        if each is not msgspec.Struct and issubclass(each, msgspec.Struct):
            written |= _written(each)
    types = {field.name: field.type for field in msgspec.structs.fields(structure)}
    return tuple(
        FieldDoc(field.encode_name, *written[field.name], *_structure(types[field.name]))
        for field in msgspec.structs.fields(structure)
    )


def first_paragraph(documented: object) -> str:
    """The beginning of a docstring in one line; nothing for nothing."""
    if documented is None:
        return ""
    return " ".join((inspect.getdoc(documented) or "").partition("\n\n")[0].split())


def _written(structure: type[msgspec.Struct]) -> dict[str, tuple[str, str]]:
    """Type and docstring of each field that this very class declares."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(structure)))
    (node,) = (each for each in tree.body if isinstance(each, ast.ClassDef))
    found: dict[str, tuple[str, str]] = {}
    last = ""
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            last = line.target.id
            found[last] = (ast.unparse(line.annotation), "")
        elif isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and last:
            found[last] = (found[last][0], " ".join(str(line.value.value).split()))
        else:
            last = ""
    return found


def _structure(type: object) -> tuple[type[msgspec.Struct] | None, bool]:
    """The structure in this type, and whether there is a list of them."""
    for part in get_args(type) if get_origin(type) in (list, Union, UnionType) else (type,):
        if inspect.isclass(part) and issubclass(part, msgspec.Struct):
            return part, get_origin(type) is list
    return None, False
