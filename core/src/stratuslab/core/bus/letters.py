"""Dead letters as messages, and their events as messages again. Pure."""

from __future__ import annotations

import msgspec

from stratuslab.core.bus.cloudevents import CloudEvent, to_headers
from stratuslab.core.bus.envelope import MESSAGE_ID_HEADER, Envelope, token
from stratuslab.core.contracts.messages import DEAD_LETTER, DeadLetter

_ID_HEADER = "ce-id"


def seal_letter(letter: DeadLetter) -> Envelope:
    """The letter as it is stored. The same failure twice has the same id."""
    id = f"{letter.stream}-{letter.consumer}-{letter.sequence}"
    headers = to_headers(
        CloudEvent(
            id=id,
            source=f"/stratuslab/{DEAD_LETTER.service}",
            type=DEAD_LETTER.message_type,
            subject=letter.subject,
            dataschema=DEAD_LETTER.schema_uri,
        )
    )
    headers[MESSAGE_ID_HEADER] = id
    subject = DEAD_LETTER.subject(stream=token(letter.stream))
    return Envelope(subject, headers, msgspec.json.encode(letter))


def replay_of(letter: DeadLetter, sequence: int) -> Envelope:
    """The event of the letter with this sequence, to be published again.

    Its id is new, or the bus would take it for a repetition and swallow it; and it is the same
    each time this letter is replayed, so that an interrupted replay can be repeated.
    """
    old = letter.headers.get(_ID_HEADER) or letter.headers.get(MESSAGE_ID_HEADER, "")
    new = f"{old}-replay-{sequence}"
    headers = {
        name: value for name, value in letter.headers.items() if not name.startswith("Nats-")
    }
    if _ID_HEADER in headers:
        headers[_ID_HEADER] = new
    headers[MESSAGE_ID_HEADER] = new
    return Envelope(letter.subject, headers, letter.data)
