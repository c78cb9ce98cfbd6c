"""Tells systemd, or whoever set NOTIFY_SOCKET, how the service is: sd_notify by hand."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify(message: str) -> None:
    """Sends one datagram, e.g. `READY=1`; without a listener it does nothing."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.setblocking(False)
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.send(message.encode())
