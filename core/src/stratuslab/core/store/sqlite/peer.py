"""The owner's end of the connection to one client: frames, greeting, watching.

It must not carry out writes; it hands them to its host.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import msgspec
import structlog

from stratuslab.core.errors import ConfigurationError
from stratuslab.core.store.sqlite.wire import (
    PROTOCOL,
    Done,
    FrameBuffer,
    Hello,
    Watch,
    WriteRequest,
    failed,
    frame,
    read_request,
)

log = structlog.get_logger()


class Host(Protocol):
    """Who takes the requests."""

    @property
    def cloud_id(self) -> str:
        """Which cloud's store it is."""
        ...

    def made(self, connection: Peer) -> None:
        """A client has connected."""
        ...

    def gone(self, connection: Peer) -> None:
        """A client has disconnected."""
        ...

    def arrived(self, connection: Peer, request: WriteRequest) -> None:
        """A client asks for a write."""
        ...


class Peer(asyncio.Protocol):
    """One client of the owner. It greets first, then asks."""

    def __init__(self, host: Host) -> None:
        self.watching = False
        self._host = host
        self._frames = FrameBuffer()
        self._greeted = False

    @property
    def unread_bytes(self) -> int:
        """What was sent and not yet taken by the client."""
        size: int = self._transport.get_write_buffer_size()
        return size

    def send(self, message: bytes) -> None:
        """Sends answers; to a client that has gone, nowhere."""
        if not self._transport.is_closing():
            self._transport.write(message)

    def read_on(self, *, reading: bool) -> None:
        """Goes on or pauses taking requests."""
        if self._transport.is_closing():
            return
        if reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def close(self) -> None:
        """Closes after what was sent has been taken."""
        self._transport.close()

    def abort(self) -> None:
        """Closes at once."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's derive from nothing
        self._host.made(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as the base says
        self._host.gone(self)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._frames.feed(data):
                self._take(message)
        except (ValueError, msgspec.DecodeError) as error:
            log.warning("store.client_not_understood", error=str(error))
            self._transport.abort()

    def _take(self, message: bytes) -> None:
        request = read_request(message)
        if isinstance(request, Hello):
            self._greeted = request.protocol == PROTOCOL
            answer = (
                Done(request.number, [self._host.cloud_id])
                if self._greeted
                else failed(request.number, _refused_protocol(request.protocol))
            )
            self.send(frame(answer))
        elif not self._greeted:
            raise ValueError("the first message was no greeting")
        elif isinstance(request, Watch):
            self.watching = True
            self.send(frame(Done(request.number, [])))
        else:
            self._host.arrived(self, request)


def _refused_protocol(protocol: int) -> ConfigurationError:
    return ConfigurationError(
        f"The document store's owner speaks version {PROTOCOL} of the protocol,"
        f" this process version {protocol}.",
        hint="Restart both with the same version of the cloud.",
    )
