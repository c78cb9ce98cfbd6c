"""What goes over the owner's socket: MessagePack messages, each with its length in front.

Requests carry a number that their answer repeats; many may be under way at once. Errors go by
their stable code and come out as the same class of error on the other side.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from stratuslab.core.errors import PermanentError, StratusLabError
from stratuslab.core.store.writes import EncodedWrite

PROTOCOL = 1
MAX_FRAME_BYTES = 80 * 1024 * 1024
"""Above the largest atomic group: 32 documents and their events of 1 MiB each."""

_length = struct.Struct(">I")


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The first request of a connection. Answered with the cloud id."""

    number: int
    protocol: int
    process: str


class Apply(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Carry out these writes, all or none. Answered with the new revisions."""

    number: int
    writes: list[EncodedWrite]


class TakeNumbers(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Take the next `block` numbers of a counter. Answered with the first."""

    number: int
    counter: str
    block: int


class Published(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The events up to this sequence need not be kept."""

    number: int
    sequence: int


class Watch(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """From now on tell after each commit how far the change log reaches."""

    number: int


WriteRequest = Apply | TakeNumbers | Published
Request = Hello | WriteRequest | Watch


class Done(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """The request was carried out, and what it gave lies on the disk."""

    number: int
    values: list[str | int]


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """The request was refused, or could not be carried out."""

    number: int
    code: str
    message: str
    hint: str
    details: dict[str, Any]


class Reached(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """The change log reaches up to here. Sent without being asked for, to watchers."""

    sequence: int


Answer = Done | Failed
Reply = Done | Failed | Reached

_encoder = msgspec.msgpack.Encoder()
read_request = msgspec.msgpack.Decoder(Request).decode
read_reply = msgspec.msgpack.Decoder(Reply).decode


def frame(message: Request | Reply) -> bytes:
    """The message as it goes over the socket."""
    body = _encoder.encode(message)
    return _length.pack(len(body)) + body


class FrameBuffer:
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The messages completed by these bytes. Raises ValueError for one that is too long."""
        buffer = self._buffer
        buffer += data
        messages: list[bytes] = []
        start = 0
        while len(buffer) - start >= 4:
            (length,) = _length.unpack_from(buffer, start)
            if length > MAX_FRAME_BYTES:
                raise ValueError(f"a message of {length} bytes")
            end = start + 4 + length
            if len(buffer) < end:
                break
            messages.append(bytes(buffer[start + 4 : end]))
            start = end
        del buffer[:start]
        return messages


def failed(number: int, error: StratusLabError) -> Failed:
    """The error as an answer."""
    return Failed(number, error.code, error.message, error.hint, error.details)


def error_of(answer: Failed) -> StratusLabError:
    """The answer as the error it was; of the nearest class when its code is not known here."""
    found = _error_classes().get(answer.code, PermanentError)
    return found(answer.message, hint=answer.hint, **answer.details)


def _error_classes() -> dict[str, type[StratusLabError]]:
    if not _CLASSES:
        waiting: list[type[StratusLabError]] = [StratusLabError]
        while waiting:
            found = waiting.pop()
            _CLASSES.setdefault(found.code, found)
            waiting += found.__subclasses__()
    return _CLASSES


_CLASSES: dict[str, type[StratusLabError]] = {}
