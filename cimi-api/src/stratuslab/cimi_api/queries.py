"""What a client asks of a list: `$filter`, `$first`, `$last`, `$select`.

`$filter` knows `attribute = value`, joined by `and`, on declared attributes; anything else is
refused, because a filter that is ignored would return what was not asked for. Parameters without
a meaning here are ignored, as the standard wants.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stratuslab.cimi_api.resources import Resource
from stratuslab.core.documents.kinds import FieldValue
from stratuslab.core.errors import InvalidRequest

if TYPE_CHECKING:
    from typing import Any

    from multidict import MultiMapping

MAX_POSITION = 10_000_000

_COMPARISON = re.compile(
    r"""\s*(?P<name>[A-Za-z_]\w*)\s*=\s*
        (?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<number>\d{1,18})|(?P<word>true|false))\s*""",
    re.VERBOSE,
)
_AND = re.compile(r"and(?=\s)")


@dataclass(frozen=True)
class ListQuery:
    """Which items of a list, and which of their attributes."""

    where: Mapping[str, FieldValue] = field(default_factory=dict)
    first: int = 1
    last: int | None = None
    select: frozenset[str] | None = None
    """None: all attributes."""

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for queries that ask for the same."""
        return (frozenset(self.where.items()), self.first, self.last, self.select)


EVERYTHING = ListQuery()


def parse_list_query(resource: Resource[Any], parameters: MultiMapping[str]) -> ListQuery:
    """The query of a list. Raises InvalidRequest."""
    return ListQuery(
        where=parse_filters(resource, parameters.getall("$filter", [])),
        first=max(1, _position(parameters, "$first") or 1),
        last=_position(parameters, "$last"),
        select=parse_select(parameters),
    )


def parse_select(parameters: MultiMapping[str]) -> frozenset[str] | None:
    """The attributes named by `$select`, or None for all of them."""
    values = parameters.getall("$select", [])
    names = frozenset(name.strip() for value in values for name in value.split(",")) - {""}
    return None if not values or "*" in names else names


def parse_filters(resource: Resource[Any], filters: list[str]) -> dict[str, FieldValue]:
    """Declared field → value; several filters must all hold. Raises InvalidRequest."""
    where: dict[str, FieldValue] = {}
    for text in filters:
        position = 0
        while True:
            match = _COMPARISON.match(text, position)
            if match is None:
                raise _unsupported(resource, text, position)
            name = resource.filters.get(match["name"])
            if name is None:
                raise _unsupported(resource, text, match.start("name"))
            where[name] = _value(match)
            position = match.end()
            if position == len(text):
                break
            conjunction = _AND.match(text, position)
            if conjunction is None:
                raise _unsupported(resource, text, position)
            position = conjunction.end()
    return where


def _value(match: re.Match[str]) -> FieldValue:
    if match["number"] is not None:
        return int(match["number"])
    if match["word"] is not None:
        return int(match["word"] == "true")
    return str(match["single"] if match["single"] is not None else match["double"])


def _unsupported(resource: Resource[Any], text: str, position: int) -> InvalidRequest:
    names = ", ".join(sorted(resource.filters)) or "none"
    return InvalidRequest(
        f"$filter {text[:200]!r} cannot be understood at character {position + 1}.",
        hint=f"Write attribute='value', joined by and; attributes of {resource.collection}: "
        f"{names}.",
    )


def _position(parameters: MultiMapping[str], name: str) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"-?\d{1,18}", text):
        raise InvalidRequest(f"{name} is {text[:50]!r}, which is no whole number.")
    return max(0, min(int(text), MAX_POSITION))
