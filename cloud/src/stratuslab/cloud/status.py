"""What a cloud is doing: written by its supervisor, read by `stratuslab status` and scripts."""

from __future__ import annotations

from datetime import datetime

import msgspec

from stratuslab.cloud.folder_lock import holder_of
from stratuslab.cloud.layout import DataFolder


class ProcessStatus(msgspec.Struct, kw_only=True):
    """One process. `state`: starting, running, backing-off, stopped."""

    name: str
    pid: int | None = None
    state: str = "starting"
    ready: bool = False
    """It runs and says that it can do its work."""
    restarts: int = 0
    since: datetime | None = None
    """When it was last started."""
    last_exit: int | None = None
    """Exit status of its last life; minus the signal's number when it was killed."""
    ops_url: str = ""
    """Where its `/healthz`, `/readyz` and `/metrics` are."""
    log: str = ""


class CloudStatus(msgspec.Struct, kw_only=True):
    """The whole cloud. `state`: starting, running, stopping, stopped, failed, unsupervised."""

    url: str
    cimi: str
    user: str
    password_file: str
    hypervisor: str
    data: str
    pid: int
    """The supervisor's."""
    machines: str = ""
    """What runs machines here, and why that, for people."""
    guests_run_on: bool = False
    """Machines outlive the cloud: they belong to the libvirt of this machine."""
    state: str = "starting"
    message: str = ""
    processes: list[ProcessStatus] = []


def write(data: DataFolder, status: CloudStatus) -> None:
    """Replaces the status file atomically. Raises OSError."""
    draft = data.status.with_suffix(".new")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(status)))
    draft.replace(data.status)


def read(data: DataFolder) -> CloudStatus | None:
    """What the supervisor last wrote, None when there never was one."""
    try:
        return msgspec.json.decode(data.status.read_bytes(), type=CloudStatus)
    except (OSError, msgspec.DecodeError):
        return None


def supervisor_of(data: DataFolder) -> int | None:
    """The pid of the living supervisor of this data folder, None when there is none."""
    return holder_of(data.lock)
