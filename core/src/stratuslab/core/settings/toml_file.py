"""The TOML file of settings: its tables, and the line on which each key stands.

`tomllib` forgets lines, and a complaint without one makes people search. No meaning here: what
a table or key is for is known to `loading`.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stratuslab.core.errors import ConfigurationError

LARGEST_FILE_BYTES = 1024 * 1024

_HEADER = re.compile(r"""^\s*\[\s*["']?([^\[\]"']+?)["']?\s*\]""")
_KEY = re.compile(r"""^\s*["']?([A-Za-z0-9_-]+)["']?\s*=""")


@dataclass(frozen=True)
class TomlFile:
    """A parsed file; the empty one stands for a file that need not exist."""

    path: Path
    tables: dict[str, Any] = field(default_factory=dict)
    _lines: dict[tuple[str, str], int] = field(default_factory=dict)

    def place(self, table: str, key: str = "") -> str:
        """`path:line` of a key or of the header of a table, for people."""
        line = self._lines.get((table, key)) or self._lines.get(("", table))
        return f"{self.path}:{line}" if line else str(self.path)


def read_toml(path: Path, *, required: bool) -> TomlFile:
    """The file. Raises ConfigurationError: missing though required, unreadable, no TOML."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        if not required:
            return TomlFile(path)
        raise ConfigurationError(
            f"The configuration file {path} does not exist.",
            hint="Create it, or unset STRATUSLAB_CONFIG.",
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"The configuration file {path} cannot be read: {error.strerror}.",
            hint="The user this service runs as must be allowed to read it.",
        ) from error
    if len(raw) > LARGEST_FILE_BYTES:
        raise ConfigurationError(f"The configuration file {path} is larger than 1 MiB.")
    try:
        text = raw.decode("utf-8-sig")
        return TomlFile(path, tomllib.loads(text), _lines(text))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            f"The configuration file {path} is not valid TOML: {error}."
        ) from error


def _lines(text: str) -> dict[tuple[str, str], int]:
    """Where tables and keys are written. A guess for people: multi-line texts may mislead it."""
    found: dict[tuple[str, str], int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = header.group(1)
            found.setdefault((table, ""), number)
        elif key := _KEY.match(line):
            found.setdefault((table, key.group(1)), number)
    return found
