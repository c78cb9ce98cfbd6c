"""The AsyncAPI document of the bus, generated from `messages.ADDRESSES`.

Owns docs/reference/asyncapi.json, which is committed: others write programs by it. To write it
again::

    python -m stratuslab.core.contracts.asyncapi docs/reference/asyncapi.json

What would break the programs of others is refused; such a change needs a subject with a new
version token (`v2`) beside the old one. With `--check` nothing is written and the exit code tells
whether programs made for the given, older document still work.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from stratuslab.core.contracts.compatibility import incompatible_changes
from stratuslab.core.contracts.messages import ADDRESSES, Address

ASYNCAPI_VERSION = "3.0.0"
STREAMS = {"evt": "EVT", "dlq": "DLQ"}

_KINDS = {
    "hint": "A wake-up. It may be lost, repeated or late, and only says: look at this document.",
    "qry": "A question and its answer. Errors come as Nats-Service-Error headers and JSON.",
    "evt": "Something happened. Kept for days; may come again, told apart by ce-id.",
    "dlq": "A message that was given up. Kept for weeks.",
}
_PARAMETERS = {
    "host": "The host's name",
    "id": "The document's id",
    "stream": "The stream the message came from",
}
_TEXT = {"type": "string"}

Json = dict[str, Any]


def document(addresses: Sequence[Address] = ADDRESSES) -> Json:
    """The AsyncAPI document as JSON values."""
    types = [each for a in addresses for each in (a.payload, a.reply) if each is not None]
    _, schemas = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    channels: Json = {}
    operations: Json = {}
    messages: Json = {}
    for address in addresses:
        name = address.name
        messages[name] = _message(address)
        channels[name] = _channel(address)
        operations[name] = _operation(address)
        if address.reply is not None:
            messages[f"{name}.reply"] = _reply(address)
            channels[f"{name}.reply"] = {
                "address": None,
                "description": "The inbox that the question names as its reply subject",
                "messages": {f"{name}.reply": _ref("components", "messages", f"{name}.reply")},
            }
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "info": _INFO,
        "defaultContentType": "application/json",
        "servers": {"bus": _SERVER},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


_INFO = {
    "title": "StratusLab messages",
    "version": "1",
    "description": (
        "Every message on the bus of a StratusLab cloud, from the cloud's point of view. "
        "Messages are CloudEvents 1.0 in binary mode: the attributes are ce-* headers, the "
        "payload is JSON. Readers ignore fields they do not know."
    ),
    "license": {"name": "Apache-2.0"},
}
_SERVER = {
    "host": "{host}:{port}",
    "protocol": "nats",
    "description": "The NATS servers of the cloud",
    "variables": {
        "host": {"default": "127.0.0.1"},
        "port": {"description": "Chosen when the cloud starts"},
    },
    "security": [{"type": "userPassword"}],
}


def _ref(*path: str) -> Json:
    return {"$ref": "/".join(("#", *path))}


def _channel(address: Address) -> Json:
    tokens = (address.prefix, *(f"{{{parameter}}}" for parameter in address.parameters))
    channel: Json = {
        "address": ".".join(tokens),
        "messages": {address.name: _ref("components", "messages", address.name)},
        "parameters": {
            parameter: {"description": _PARAMETERS.get(parameter, parameter)}
            for parameter in address.parameters
        },
    }
    if address.kind in STREAMS:
        channel["x-nats-stream"] = STREAMS[address.kind]
    return channel


def _operation(address: Address) -> Json:
    name = address.name
    operation: Json = {
        "action": "receive" if address.reply is not None else "send",
        "channel": _ref("channels", name),
        "summary": address.summary,
        "description": _KINDS[address.kind],
        "messages": [_ref("channels", name, "messages", name)],
    }
    if address.reply is not None:
        answer = f"{name}.reply"
        operation["reply"] = {
            "channel": _ref("channels", answer),
            "messages": [_ref("channels", answer, "messages", answer)],
        }
    return operation


def _message(address: Address) -> Json:
    required: Json = {
        "ce-specversion": {"const": "1.0"},
        "ce-type": {"const": address.message_type},
        "ce-id": _TEXT,
        "ce-source": _TEXT,
    }
    if address.payload is not None:
        required["ce-dataschema"] = {"const": address.schema_uri}
    if address.kind in STREAMS:
        required |= {"ce-subject": _TEXT, "Nats-Msg-Id": _TEXT}
    optional: Json = {"ce-time": {**_TEXT, "format": "date-time"}, "ce-traceparent": _TEXT}
    message: Json = {
        "name": address.message_type,
        "title": address.summary,
        "headers": {
            "type": "object",
            "properties": {**required, **optional},
            "required": sorted(required),
        },
    }
    if address.payload is not None:
        message["payload"] = _ref("components", "schemas", address.payload.__name__)
    return message


def _reply(address: Address) -> Json:
    assert address.reply is not None
    return {
        "name": f"{address.message_type}.reply",
        "title": f"Answer: {address.summary}",
        "headers": {
            "type": "object",
            "properties": {"Nats-Service-Error": _TEXT, "Nats-Service-Error-Code": _TEXT},
        },
        "payload": _ref("components", "schemas", address.reply.__name__),
    }


def encode(described: Json) -> bytes:
    """The document as it is committed."""
    compact = msgspec.json.encode(described, order="deterministic")
    return msgspec.json.format(compact, indent=2) + b"\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes or checks the document; 1 when it would break the programs of others."""
    parser = argparse.ArgumentParser(prog="python -m stratuslab.core.contracts.asyncapi")
    parser.add_argument("file", type=Path, help="the committed document")
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    options = parser.parse_args(arguments)
    new = document()
    if options.file.exists():
        old = msgspec.json.decode(options.file.read_bytes())
        changes = incompatible_changes(old, new)
        for change in changes:
            print(change, file=sys.stderr)
        if changes:
            print(
                "These changes break programs made for the present document. Keep the old "
                "subject as it is and add one with a new version token.",
                file=sys.stderr,
            )
            return 1
    if not options.check:
        options.file.parent.mkdir(parents=True, exist_ok=True)
        options.file.write_bytes(encode(new))
    return 0


if __name__ == "__main__":
    sys.exit(main())
