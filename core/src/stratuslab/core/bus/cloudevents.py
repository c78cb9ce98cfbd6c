"""CloudEvents 1.0 over NATS: binary mode is written, binary and structured mode are read.

Pure. Attributes travel as `ce-*` headers with percent-encoded values, the payload is the body.
Source: CloudEvents core specification 1.0.2 and its NATS protocol binding.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote, unquote

import msgspec

from stratuslab.core.errors import InvalidRequest

SPEC_VERSION = "1.0"
JSON = "application/json"
STRUCTURED = "application/cloudevents+json"
_PREFIX = "ce-"
_NOT_EXTENSIONS = frozenset({"specversion", "data"})
_ATTRIBUTE_NAME = re.compile(r"[a-z0-9]{1,64}")
_NEEDS_ENCODING = re.compile(r"[^\x21\x23\x24\x26-\x7e]")


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `extensions` holds further attributes such as `traceparent`, as strings."""

    id: str
    source: str
    type: str
    subject: str | None = None
    time: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    datacontenttype: str = JSON
    dataschema: str | None = None
    extensions: Mapping[str, str] = {}
    data: bytes = b""


_DECLARED = ("id", "source", "type", "subject", "time", "datacontenttype", "dataschema")


def to_headers(event: CloudEvent) -> dict[str, str]:
    """The headers of binary mode; the message's body is `event.data`."""
    headers = {"ce-specversion": SPEC_VERSION}
    for name in _DECLARED:
        value = getattr(event, name)
        if value is not None:
            headers[_PREFIX + name] = _encoded(
                value.isoformat() if isinstance(value, datetime) else value
            )
    for name, text in event.extensions.items():
        if not is_extension_name(name):
            raise ValueError(f"{name!r} cannot name an extension attribute")
        headers[_PREFIX + name] = _encoded(text)
    return headers


def is_extension_name(name: str) -> bool:
    """Whether an extension attribute may have this name."""
    return (
        _ATTRIBUTE_NAME.fullmatch(name) is not None
        and name not in _DECLARED
        and name not in _NOT_EXTENSIONS
    )


def read(headers: Mapping[str, str], body: bytes) -> CloudEvent:
    """The event in a message, in either mode. Raises InvalidRequest."""
    lower = {name.lower(): value for name, value in headers.items()}
    if lower.get("content-type", "").split(";")[0].strip() == STRUCTURED:
        attributes, data = _read_structured(body)
    else:
        data = body
        attributes = {
            name.removeprefix(_PREFIX): unquote(value)
            for name, value in lower.items()
            if name.startswith(_PREFIX)
        }
    if attributes.pop("specversion", None) != SPEC_VERSION:
        raise InvalidRequest("The message is not an event of CloudEvents 1.0.")
    declared = {name: attributes.pop(name) for name in _DECLARED if name in attributes}
    extensions = {name: text for name, text in attributes.items() if is_extension_name(name)}
    try:
        event = msgspec.convert({**declared, "extensions": extensions}, CloudEvent)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"The message is not a CloudEvent: {error}.") from error
    return msgspec.structs.replace(event, data=data)


def _encoded(text: str) -> str:
    """Percent-encoding of spaces, quotes, percent signs and all beyond printable ASCII."""
    return _NEEDS_ENCODING.sub(lambda found: quote(found.group(), safe=""), text)


def _read_structured(body: bytes) -> tuple[dict[str, str], bytes]:
    try:
        members = msgspec.json.decode(body, type=dict[str, Any])
        data = members.pop("data", None)
        in_base64 = members.pop("data_base64", None)
        attributes = {name: _canonical(value) for name, value in members.items()}
        if in_base64 is not None:
            return attributes, base64.b64decode(in_base64, validate=True)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise InvalidRequest("The message is not a structured CloudEvent.") from error
    if data is None:
        return attributes, b""
    if isinstance(data, str) and "json" not in attributes.get("datacontenttype", JSON):
        return attributes, data.encode()
    return attributes, msgspec.json.encode(data)


def _canonical(value: object) -> str:
    """An attribute as a string: CloudEvents knows strings, integers and booleans."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int)):
        return str(value).lower()
    raise ValueError("an attribute is neither string, integer nor boolean")
