"""The credentials file of a bus user: `{"user": "…", "password": "…"}` as JSON or TOML.

Owns its reading and writing. The password stays out of logs, arguments and the environment;
a file that others can read is refused.
"""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import msgspec

from stratuslab.core.errors import ConfigurationError

_MAX_FILE_BYTES = 4096


class Credentials(msgspec.Struct, frozen=True):
    """Who a process is on the bus."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r}, password=…)"


def read_credentials(path: Path) -> Credentials:
    """The user and password in this file. Raises ConfigurationError."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise ConfigurationError(
            f"The bus credentials file {path} cannot be read: {error.strerror}."
        ) from error
    if mode & 0o077:
        raise ConfigurationError(
            f"The bus credentials file {path} has mode {mode:04o}: others can read it.",
            hint=f"Run: chmod 600 {path}",
        )
    try:
        if path.suffix == ".toml":
            return msgspec.convert(tomllib.loads(content.decode()), Credentials)
        return msgspec.json.decode(content, type=Credentials)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        # The parser's own message could quote the password.
        raise ConfigurationError(
            f"The bus credentials file {path} is not understood.",
            hint='It must hold {"user": "…", "password": "…"} as JSON, or the same as TOML in a '
            "file named *.toml.",
        ) from None


def write_credentials(path: Path, credentials: Credentials) -> None:
    """Writes the file, readable by its owner only, all or nothing."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(credentials) + b"\n")
    draft.replace(path)
