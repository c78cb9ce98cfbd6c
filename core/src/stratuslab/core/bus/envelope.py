"""How messages of the cloud become CloudEvents on subjects, and back. Pure but for a counter.

Both adapters use it, so that what a test sees in memory is what NATS carries.
"""

from __future__ import annotations

import itertools
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

import msgspec
from structlog.contextvars import get_contextvars

from stratuslab.core.bus.base import Delivery
from stratuslab.core.bus.cloudevents import CloudEvent, read, to_headers
from stratuslab.core.contracts.messages import EVENTS, Address, Event
from stratuslab.core.errors import PermanentError, RequestError

MESSAGE_ID_HEADER = "Nats-Msg-Id"
TRACE = "traceparent"
"""Taken from and put into the log context, so that one trace runs through all services."""

_NOT_IN_TOKENS = re.compile(r"[^A-Za-z0-9_-]")
_MAX_TOKEN = 128
_process = secrets.token_hex(8)
_numbers = itertools.count(1)


class MalformedEvent(PermanentError):
    """A stored message is no event this version understands."""

    code = "malformed-event"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message ready to be sent."""

    subject: str
    headers: dict[str, str]
    data: bytes


_EVENT_BY_TYPE = {address.message_type: address for address in EVENTS.values()}


def headers_for(address: Address) -> dict[str, str]:
    """The attributes of a wake-up or a query."""
    return to_headers(
        CloudEvent(
            id=f"{_process}-{next(_numbers)}",
            source=f"/stratuslab/{address.service}",
            type=address.message_type,
            dataschema=address.schema_uri if address.payload else None,
            extensions=_trace(),
        )
    )


def seal(id: str, event: Event, time: datetime | None) -> Envelope:
    """An integration event as it is stored. Raises MalformedEvent."""
    address = EVENTS.get(event.address)
    if address is None:
        raise MalformedEvent(f"There is no event of the type {event.address!r}.")
    headers = to_headers(
        CloudEvent(
            id=id,
            source=f"/stratuslab/{address.service}",
            type=address.message_type,
            subject=event.subject,
            time=time,
            dataschema=address.schema_uri,
            extensions=_trace(),
        )
    )
    headers[MESSAGE_ID_HEADER] = id
    about = event.subject.partition("/")[2] or event.subject
    subject = address.subject(**dict.fromkeys(address.parameters, token(about)))
    return Envelope(subject, headers, msgspec.json.encode(event.data))


def unseal(headers: dict[str, str], data: bytes, *, deliveries: int, sequence: int) -> Delivery:
    """The event in a stored message. Raises MalformedEvent."""
    try:
        sealed = read(headers, data)
        address = _EVENT_BY_TYPE.get(sealed.type)
        if address is None or address.payload is None or sealed.subject is None:
            raise MalformedEvent(f"{sealed.type!r} is no event of this cloud.")
        content = msgspec.json.decode(sealed.data, type=dict[str, object])
        msgspec.convert(content, address.payload)
    except (RequestError, msgspec.DecodeError) as error:
        raise MalformedEvent(f"A stored message is no event: {error}") from error
    event = Event(address=address.name, subject=sealed.subject, data=content)
    return Delivery(sealed.id, event, sealed.time, deliveries, sequence)


def token(text: str) -> str:
    """The text as one token of a subject; the exact text travels in the attributes."""
    return _NOT_IN_TOKENS.sub("_", text)[:_MAX_TOKEN] or "_"


def _trace() -> dict[str, str]:
    trace = get_contextvars().get(TRACE)
    return {TRACE: trace} if isinstance(trace, str) else {}
