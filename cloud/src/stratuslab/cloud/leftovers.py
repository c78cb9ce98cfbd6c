"""Processes of a cloud whose supervisor was killed: found by a mark, ended before a new start.

Every process that a supervisor starts carries the data folder in its environment. Unlike a list
of pids that mark is there from the process' first moment, and no other process has it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

MARK = "SUPERVISED_BY_STRATUSLAB"
"""Not one of the STRATUSLAB_ variables: those are settings."""
PROGRAM = "SUPERVISED_AS"
"""Its name in the cloud."""

TERM_SECONDS = 6.0
KILL_SECONDS = 5.0


def marked(data: Path, program: str) -> dict[str, str]:
    """What to add to the environment of a process of the cloud in this data folder."""
    return {MARK: str(data), PROGRAM: program}


def find(data: Path) -> dict[int, str]:
    """Living processes of the cloud in this data folder: pid → name in the cloud."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            environment = _environment(entry)
            if environment.get(MARK) == str(data):
                found[int(entry.name)] = environment.get(PROGRAM, "")
    return found


async def end(data: Path, *, at_once: frozenset[str] = frozenset()) -> list[str]:
    """Ends all of them; those named in `at_once` without letting them do anything more.

    Returns their names.
    """
    left = find(data)
    names = sorted(set(left.values()))
    for pid, name in left.items():
        _signal(pid, signal.SIGKILL if name in at_once else signal.SIGTERM)
    if await _gone(data, TERM_SECONDS):
        return names
    for pid in find(data):
        _signal(pid, signal.SIGKILL)
    await _gone(data, KILL_SECONDS)
    return names


async def _gone(data: Path, seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while find(data):
        if loop.time() > deadline:
            return False
        await asyncio.sleep(0.05)
    return True


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _environment(process: Path) -> Mapping[str, str]:
    """The environment a process was started with; empty for a zombie and for strangers'."""
    try:
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    pairs = (each.decode(errors="replace").partition("=") for each in variables)
    return {name: value for name, _, value in pairs}
