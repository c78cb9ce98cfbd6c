"""Where a service listens: `127.0.0.1:8080`, `[::1]:0`, or `unix:/run/x.sock`. Pure parsing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from stratuslab.core.errors import ConfigurationError

LONGEST_SOCKET_PATH = 107
"""Bytes; the kernel's limit for the path of a unix socket."""


@dataclass(frozen=True)
class ListenAddress:
    """A TCP address or the path of a unix socket."""

    host: str = ""
    port: int = 0
    path: Path | None = None

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Raises ConfigurationError with what would be right."""
        if text.startswith("unix:"):
            path = Path(text.removeprefix("unix:"))
            if not path.is_absolute():
                raise _no_address(text)
            if len(str(path).encode()) > LONGEST_SOCKET_PATH:
                raise ConfigurationError(
                    f"The socket path {path} is longer than {LONGEST_SOCKET_PATH} bytes.",
                    hint="Choose a data folder with a shorter path.",
                )
            return cls(path=path)
        host, _, port = text.rpartition(":")
        if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
            raise _no_address(text)
        return cls(host=host.strip("[]"), port=int(port))


def _no_address(text: str) -> ConfigurationError:
    return ConfigurationError(
        f"{text!r} is no address to listen on.",
        hint="Write host:port, for example 127.0.0.1:8400, or unix:/path/of.sock.",
    )
