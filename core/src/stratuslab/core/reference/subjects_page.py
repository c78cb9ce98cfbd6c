"""The page of subjects: every message of the bus, what it carries, who may rely on it."""

from __future__ import annotations

import msgspec

from stratuslab.core.contracts.messages import ADDRESSES, Address
from stratuslab.core.reference.field_docs import field_docs, first_paragraph
from stratuslab.core.reference.markdown import code, table

INTRODUCTION = """# Subjects

Every message of the bus. Subjects are `sl.<service>.v1.<kind>.<noun>.<verb>` and then the variable
tokens. Payloads are JSON, CloudEvents attributes are in `ce-*` headers. The same for programs, with
schemas: [asyncapi.json](asyncapi.json).

| Kind | What it is |
| --- | --- |
| `hint` | A wake-up on core NATS: look at this document. May be lost, repeated or late. Internal. |
| `qry` | A question and its answer. Internal. |
| `evt` | Something happened. Kept in JetStream for days; may come twice, told apart by `ce-id`. |
| `dlq` | A message that was given up, kept for weeks: `stratuslab dlq` lists and replays them. |

"""


def subjects_page() -> str:
    """The page."""
    rows = [
        (code(subject(each)), code(each.kind), each.summary + ".", code(_name(each.payload)))
        for each in ADDRESSES
    ]
    listed = table(("Subject", "Kind", "Meaning", "Payload"), rows)
    types = {each for address in ADDRESSES for each in (address.payload, address.reply) if each}
    described = "\n".join(_type(each) for each in sorted(types, key=lambda each: each.__name__))
    return f"{INTRODUCTION}{listed}\n# Payloads\n\n{described}"


def subject(address: Address) -> str:
    """The subject with names for its variable tokens."""
    return ".".join((address.prefix, *(f"<{name}>" for name in address.parameters)))


def _type(payload: type[msgspec.Struct]) -> str:
    rows = [(code(each.name), code(each.annotation), each.doc) for each in field_docs(payload)]
    replies = [each.name for each in ADDRESSES if each.reply is payload]
    answer = f" The answer to {', '.join(code(each) for each in replies)}." if replies else ""
    listed = table(("Field", "Type", "Meaning"), rows)
    return f"## {payload.__name__}\n\n{first_paragraph(payload)}{answer}\n\n{listed}"


def _name(payload: type[msgspec.Struct] | None) -> str:
    return payload.__name__ if payload is not None else ""
