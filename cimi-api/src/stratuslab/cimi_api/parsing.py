"""From the bytes a client sent to typed bodies, with errors that say what is wrong and where."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar, get_args

import msgspec

from stratuslab.cimi_api.model.attributes import ActionBody, Body, take_common
from stratuslab.cimi_api.resources import Resource
from stratuslab.core.documents import Document
from stratuslab.core.errors import InvalidRequest

T = TypeVar("T")
D = TypeVar("D", bound=Document)

_AT = re.compile(r"^(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?$", re.DOTALL)
_NAME = re.compile(r"`([^`]*)`")


def decode_create(resource: Resource[Any], raw: bytes) -> Body:
    """The body of an `add`. Raises InvalidRequest."""
    type = resource.create_body or resource.body
    assert type is not None
    body = _decode(raw, type, resource.type_name)
    accepted = {resource.type_uri, f"{resource.type_uri}Create"}
    _check_type(body.resource_uri, accepted, resource.type_name)
    if resource.create_body is not None and resource.unpack is not None:
        return resource.unpack(body)
    return body


def decode_edit(
    resource: Resource[D], raw: bytes, document: D, selected: frozenset[str] | None
) -> Body:
    """The wanted values of all writable attributes. Raises InvalidRequest.

    Without `selected` what the client left out is erased; with it only the attributes named
    there change, and no other may be in the body. What the resource shows but a client cannot
    write is ignored, because clients send back what they read.
    """
    assert resource.body is not None
    assert resource.body_of is not None
    sent = _decode(raw, dict[str, msgspec.Raw], resource.type_name)
    writable = _encoded_names(resource.body)
    known = writable | _encoded_names(resource.representation) | {"resourceURI"}
    for name in sent:
        if name not in known:
            raise _unknown(name, "", known)
        if selected is not None and name not in selected and name != "resourceURI":
            raise InvalidRequest(
                f"{name} is in the body but not in $select.",
                hint="Name every attribute that shall change in $select.",
            )
    if "resourceURI" in sent:
        uri = bytes(sent["resourceURI"]).decode().strip('"')
        _check_type(uri, {resource.type_uri}, resource.type_name)
    if selected is None:
        wanted = sent
    else:
        present = resource.body_of(document)
        take_common(present, document)
        fields = msgspec.json.decode(msgspec.json.encode(present), type=dict[str, msgspec.Raw])
        wanted = {name: value for name, value in fields.items() if name not in selected} | sent
    written = {name: value for name, value in wanted.items() if name in writable - {"resourceURI"}}
    return _decode(msgspec.json.encode(written), resource.body, resource.type_name)


def decode_action(raw: bytes) -> ActionBody:
    """The body of an action; none and `null` are accepted. Raises InvalidRequest."""
    if raw.strip() in (b"", b"null"):
        return ActionBody()
    return _decode(raw, ActionBody, "Action")


def _decode(raw: bytes, type: type[T], what: str) -> T:
    if not raw.strip():
        raise InvalidRequest(f"The body is empty; it must hold a {what} in JSON.")
    try:
        return msgspec.json.decode(raw, type=type)
    except msgspec.ValidationError as error:
        raise _explained(str(error), type) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            f"The body is no valid JSON: {_detail(error)}.", hint=f"Send a {what} in JSON."
        ) from error
    except RecursionError as error:
        raise InvalidRequest("The body is nested too deeply.") from error


def _detail(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(error).removeprefix("JSON is malformed: ")


def _explained(message: str, type: Any) -> InvalidRequest:
    """msgspec's message as a sentence that begins with the attribute."""
    match = _AT.match(message)
    assert match is not None
    what, path = match["what"], (match["path"] or "").removeprefix(".")
    if what.startswith("Object contains unknown field"):
        name = _NAME.search(what)
        return _unknown(name[1] if name else "?", path, _all_names(type))
    if what.startswith("Object missing required field"):
        name = _NAME.search(what)
        where = ".".join(part for part in (path, name[1] if name else "?") if part)
        return InvalidRequest(f"{where} is missing.", attribute=where)
    subject = path or "The body"
    if match["key"]:
        subject = f"A key of {subject}"
    if "matching regex" in what:
        return InvalidRequest(f"{subject} has characters that are not allowed.", attribute=path)
    lower = what[:1].lower() + what[1:]
    return InvalidRequest(f"{subject} is wrong: {lower.replace('`', '')}.", attribute=path)


def _unknown(name: str, path: str, known: frozenset[str]) -> InvalidRequest:
    where = ".".join(part for part in (path, name[:100]) if part)
    close = get_close_matches(name[:100], known, 1)
    return InvalidRequest(
        f"{where} is no attribute that can be written here.",
        hint=f"Did you mean {close[0]}?" if close else "Leave it out.",
        attribute=where,
    )


def _check_type(uri: str | None, accepted: set[str], what: str) -> None:
    if uri is not None and uri not in accepted:
        raise InvalidRequest(
            f"resourceURI is {uri[:200]!r}, but a {what} is wanted here.",
            hint=f"Leave it out or send {min(accepted, key=len)}.",
            attribute="resourceURI",
        )


@cache
def _encoded_names(type: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(type.__struct_encode_fields__)


@cache
def _all_names(structure: Any) -> frozenset[str]:
    """Attribute names of a structure and of all structures inside it."""
    names: set[str] = set()
    pending, seen = [structure], set()
    while pending:
        each = pending.pop()
        if each in seen:
            continue
        seen.add(each)
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            names.update(each.__struct_encode_fields__)
            pending.extend(field.type for field in msgspec.structs.fields(each))
        else:
            pending.extend(arg for arg in get_args(each) if not isinstance(arg, msgspec.Meta))
    return frozenset(names)
