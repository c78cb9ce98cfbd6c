"""Every message of the bus: its subject, its payload and who sends it. AsyncAPI comes from here.

Subjects: `sl.<service>.v1.<kind>.<noun>.<verb>[.<host>][.<id>]`. Kinds:

* `hint`  core NATS wake-ups: "look at this document". May be lost; never the only carrier.
* `qry`   request and reply, read only.
* `evt`   JetStream: "this happened", kept for days, for integrations.
* `dlq`   JetStream: what could not be handled.

Tokens are `[a-z0-9-]`; no user's text ever becomes part of a subject.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Event(msgspec.Struct, frozen=True):
    """An integration event as it is kept with the write that caused it.

    `address` names the message type (a key of `EVENTS`), `subject` the document's key.
    """

    address: str
    subject: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Address:
    """A family of subjects: the fixed tokens and the names of the variable ones."""

    service: str
    kind: str
    noun: str
    verb: str
    parameters: tuple[str, ...] = ()
    payload: type[msgspec.Struct] | None = None
    reply: type[msgspec.Struct] | None = None
    summary: str = ""

    @property
    def name(self) -> str:
        """The stable name of the message type: `<service>.<noun>.<verb>`."""
        return f"{self.service}.{self.noun}.{self.verb}"

    @property
    def message_type(self) -> str:
        """The CloudEvents type."""
        return f"eu.stratuslab.{self.name}.v1"

    @property
    def schema_uri(self) -> str:
        """The CloudEvents dataschema; the AsyncAPI document holds what it names."""
        return f"urn:stratuslab:{self.name}:v1"

    @property
    def prefix(self) -> str:
        """The subject without its variable tokens."""
        return f"sl.{self.service}.v1.{self.kind}.{self.noun}.{self.verb}"

    @property
    def wildcard(self) -> str:
        """What to subscribe to for all of the family."""
        return ".".join((self.prefix, *("*" for _ in self.parameters)))

    def subject(self, **values: str) -> str:
        """The subject for these parameters. Raises ValueError for a token outside the alphabet."""
        tokens = [values[name] for name in self.parameters]
        for token in tokens:
            if not _TOKEN.fullmatch(token):
                raise ValueError(f"{token!r} cannot be a token of a subject")
        return ".".join((self.prefix, *tokens))

    def pattern(self, **values: str) -> str:
        """What to subscribe to when some of the parameters are known. Raises ValueError."""
        known = {name: values[name] for name in self.parameters if name in values}
        for name, value in known.items():
            if not _TOKEN.fullmatch(value):
                raise ValueError(f"{name}={value!r} cannot be a token of a subject")
        return ".".join((self.prefix, *(known.get(name, "*") for name in self.parameters)))


class MachineStateChanged(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A machine's state changed, or it came or went."""

    id: str
    name: str
    owner: str
    state: str
    """The CIMI state; DELETED when it is gone."""
    vmid: int
    host: str | None = None
    stop_reason: str | None = None
    address: str | None = None


class HostStateChanged(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A host came up, was lost or came back."""

    id: str
    state: str
    """UP or LOST"""


class JobFinished(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A job reached its end."""

    id: str
    state: str
    target: str
    message: str = ""


class ConsoleQuery(msgspec.Struct, frozen=True, rename="camel"):
    """Asks a host for the end of a machine's console log."""

    id: str
    max_bytes: int = 65536


class ConsoleReply(msgspec.Struct, frozen=True, rename="camel"):
    """The end of the console log; `data` is Base64 in JSON."""

    data: bytes


class DeadLetter(msgspec.Struct, frozen=True, rename="camel"):
    """A message that was given up: where it came from and why."""

    stream: str
    subject: str
    sequence: int
    deliveries: int
    reason: str
    headers: dict[str, str]
    data: bytes
    consumer: str = ""
    """The consumer that could not handle it."""


MACHINE_UNSCHEDULED = Address(
    "vm", "hint", "machine", "unscheduled", ("id",), summary="A machine needs a host"
)
MACHINE_CHANGED = Address(
    "vm",
    "hint",
    "machine",
    "changed",
    ("host", "id"),
    summary="The wanted state of a machine on this host changed",
)
HOST_FREED = Address(
    "vm", "hint", "host", "freed", ("host",), summary="Machines left a host; recount its room"
)
MACHINE_CONSOLE = Address(
    "vm",
    "qry",
    "machine",
    "console",
    ("host",),
    payload=ConsoleQuery,
    reply=ConsoleReply,
    summary="The end of a machine's console log",
)
MACHINE_STATE = Address(
    "vm",
    "evt",
    "machine",
    "state",
    ("id",),
    payload=MachineStateChanged,
    summary="A machine's state changed",
)
HOST_STATE = Address(
    "vm", "evt", "host", "state", ("id",), payload=HostStateChanged, summary="A host came or went"
)
JOB_FINISHED = Address(
    "cimi", "evt", "job", "finished", ("id",), payload=JobFinished, summary="A job ended"
)
DEAD_LETTER = Address(
    "core",
    "dlq",
    "message",
    "dead",
    ("stream",),
    payload=DeadLetter,
    summary="A message that was given up",
)

ADDRESSES: tuple[Address, ...] = (
    MACHINE_UNSCHEDULED,
    MACHINE_CHANGED,
    HOST_FREED,
    MACHINE_CONSOLE,
    MACHINE_STATE,
    HOST_STATE,
    JOB_FINISHED,
    DEAD_LETTER,
)
EVENTS: dict[str, Address] = {each.name: each for each in ADDRESSES if each.kind == "evt"}


def event(address: Address, document: str, payload: msgspec.Struct) -> Event:
    """An event of this family about the document with this key (`kind/id`)."""
    assert address.kind == "evt"
    assert address.payload is type(payload)
    return Event(address=address.name, subject=document, data=msgspec.to_builtins(payload))
