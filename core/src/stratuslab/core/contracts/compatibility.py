"""Whether programs made for one AsyncAPI document still work with a newer one. Pure.

What the cloud sends may gain fields and lose none; what it receives may gain optional fields
only. Types stay. A subject may go when one with a higher version token has come.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

_VERSION = re.compile(r"\.v(\d+)\.")


def incompatible_changes(old: Json, new: Json) -> list[str]:
    """One sentence for each change that breaks somebody."""
    return [*_lost_addresses(old, new), *_changed_payloads(old, new)]


def _lost_addresses(old: Json, new: Json) -> Iterator[str]:
    present = set(_addresses(new))
    for address in _addresses(old):
        if address not in present and not any(_succeeds(each, address) for each in present):
            yield f"The subject {address} is gone."


def _addresses(document: Json) -> list[str]:
    channels = document["channels"].values()
    return [channel["address"] for channel in channels if channel["address"] is not None]


def _succeeds(newer: str, older: str) -> bool:
    """Whether it is the same subject with a higher version."""
    old, new = _VERSION.search(older), _VERSION.search(newer)
    if old is None or new is None or int(new[1]) <= int(old[1]):
        return False
    # Which parameters a new version has is its own business.
    return _family(newer) == _family(older)


def _family(address: str) -> str:
    return _VERSION.sub(".", address).split(".{")[0]


def _changed_payloads(old: Json, new: Json) -> Iterator[str]:
    for name, channel in old["channels"].items():
        newer = new["channels"].get(name)
        if newer is None or newer["address"] != channel["address"]:
            continue
        received = old["operations"].get(name, {}).get("action") == "receive"
        for message in channel["messages"]:
            before = _payload(old, message)
            after = _payload(new, message)
            if before is not None and after is None:
                yield f"{message}: the payload is gone."
            elif before is not None:
                compare = _Comparison(old, new, received)
                yield from compare.schemas(before, after, message)


def _payload(document: Json, message: str) -> Json | None:
    payload: Json | None = document["components"]["messages"].get(message, {}).get("payload")
    return payload


class _Comparison:
    """Walks two schemas side by side, following references once each."""

    def __init__(self, old: Json, new: Json, received: bool) -> None:
        self._old = old
        self._new = new
        self._received = received
        self._seen: set[tuple[str, str]] = set()

    def schemas(self, old: Any, new: Any, where: str) -> Iterator[str]:
        if not isinstance(old, dict) or not isinstance(new, dict):
            return
        pair = (old.get("$ref", ""), new.get("$ref", ""))
        if all(pair):
            if pair in self._seen:
                return
            self._seen.add(pair)
        old, new = _resolved(self._old, old), _resolved(self._new, new)
        if old.get("type") != new.get("type") or old.get("const") != new.get("const"):
            yield f"{where}: the type changed from {_kind(old)} to {_kind(new)}."
            return
        yield from self._values(old, new, where)
        yield from self._alternatives(old, new, where)
        yield from self._members(old, new, where)
        yield from self.schemas(old.get("items"), new.get("items"), f"{where}[]")
        yield from self.schemas(
            old.get("additionalProperties"), new.get("additionalProperties"), f"{where}.*"
        )

    def _values(self, old: Json, new: Json, where: str) -> Iterator[str]:
        """Of what is received no value may be refused that was taken before."""
        if self._received and "enum" in new:
            for value in old.get("enum", ()):
                if value not in new["enum"]:
                    yield f"{where}: the value {value!r} is no longer taken."

    def _alternatives(self, old: Json, new: Json, where: str) -> Iterator[str]:
        before, after = old.get("anyOf", []), new.get("anyOf", [])
        if sorted(map(_kind, before)) != sorted(map(_kind, after)):
            yield f"{where}: the alternatives changed."
            return
        by_kind = {_kind(each): each for each in after}
        for each in before:
            yield from self.schemas(each, by_kind[_kind(each)], where)

    def _members(self, old: Json, new: Json, where: str) -> Iterator[str]:
        required_before, required_now = set(old.get("required", ())), set(new.get("required", ()))
        members = new.get("properties", {})
        for name, schema in old.get("properties", {}).items():
            if name not in members:
                yield f"{where}: the field {name} is gone."
                continue
            if not self._received and name in required_before - required_now:
                yield f"{where}: the field {name} may now be missing."
            yield from self.schemas(schema, members[name], f"{where}.{name}")
        if self._received:
            for name in sorted(required_now - required_before):
                yield f"{where}: the field {name} must now be given."


def _resolved(document: Json, schema: Json) -> Json:
    if "$ref" not in schema:
        return schema
    found: Json = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return found


def _kind(schema: Json) -> str:
    return str(schema.get("$ref") or schema.get("type") or schema.get("const") or "anything")
