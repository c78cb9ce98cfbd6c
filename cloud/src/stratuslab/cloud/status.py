"""What a cloud is doing: written by its supervisor, read by `stratuslab status` and scripts."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec

from stratuslab.cloud.layout import DataFolder


class ProcessStatus(msgspec.Struct, kw_only=True):
    """One process. `state`: starting, running, backing-off, stopped."""

    name: str
    pid: int | None = None
    started: float = 0.0
    """The process's start time as the kernel tells it: a pid alone may be somebody else's."""
    state: str = "starting"
    restarts: int = 0
    ready: bool = False
    ops_url: str = ""
    log: str = ""
    last_exit: int | None = None


class CloudStatus(msgspec.Struct, kw_only=True):
    """The whole cloud."""

    url: str
    cimi: str
    user: str
    password_file: str
    hypervisor: str
    data: str
    pid: int
    state: str = "starting"
    """starting, running, stopping, stopped, failed"""
    message: str = ""
    processes: list[ProcessStatus] = []


def write(data: DataFolder, status: CloudStatus) -> None:
    """Replaces the status file atomically."""
    draft = data.status.with_suffix(".new")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(status)))
    draft.replace(data.status)


def read(data: DataFolder) -> CloudStatus | None:
    """What the supervisor last wrote, None when there never was one."""
    try:
        return msgspec.json.decode(data.status.read_bytes(), type=CloudStatus)
    except (OSError, msgspec.DecodeError):
        return None


def is_supervised(data: DataFolder) -> bool:
    """Whether a supervisor holds the lock of this data folder."""
    try:
        with data.lock.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
    except FileNotFoundError:
        pass
    return False


def start_time(pid: int) -> float:
    """When the kernel started this process, in its own ticks; 0 when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, IndexError):
        return 0.0
    return 0.0 if fields[0] == "Z" else float(fields[19])


def alive(process: ProcessStatus) -> bool:
    """Whether this very process still lives."""
    return process.pid is not None and start_time(process.pid) == process.started > 0


def signal_process(process: ProcessStatus, number: int) -> None:
    """Sends a signal to this very process, if it still lives."""
    if alive(process):
        assert process.pid is not None
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return
