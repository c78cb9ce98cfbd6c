"""Log files of processes that write to them directly: kept small from outside.

The process goes on appending to the same open file; so the file is copied and emptied, not
renamed. What is written in between those two steps is lost, which a log can bear.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import msgspec

LARGEST_BYTES = 8 * 1024 * 1024
_TAIL_BYTES = 4096


def keep_small(log: Path, largest_bytes: int = LARGEST_BYTES) -> None:
    """Moves the content aside to `<log>.1` once it is large; one old part is kept."""
    with suppress(OSError):  # on a full disk the log just is not cut
        if log.stat().st_size > largest_bytes:
            shutil.copyfile(log, log.with_name(log.name + ".1"))
            os.truncate(log, 0)


def last_line(log: Path) -> str:
    """What the process said last, for people; "" when it said nothing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return _as_sentence(lines[-1]) if lines else ""


def _as_sentence(line: str) -> str:
    """A line of a service's log for people: the event and what went wrong."""
    try:
        event = msgspec.json.decode(line, type=_Event)
    except msgspec.DecodeError:
        return line
    why = event.error or event.reason
    return f"{event.event}: {why}" if why else event.event


class _Event(msgspec.Struct):
    event: str
    error: str = ""
    reason: str = ""
