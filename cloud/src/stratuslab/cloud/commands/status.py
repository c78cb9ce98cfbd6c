"""`stratuslab status`: what runs, since when, how often it was started again."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from stratuslab.cloud import leftovers, status
from stratuslab.cloud.commands.common import add_data, data_folder, short
from stratuslab.cloud.layout import DataFolder
from stratuslab.cloud.status import CloudStatus, ProcessStatus
from stratuslab.cloud.terminal import Terminal
from stratuslab.core.errors import ConfigurationError


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_data(parser)
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; exit code 0 only when everything is ready."""
    data = data_folder(arguments)
    known = present(data)
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(known)).decode())
    else:
        print(described(known, Terminal()))
    whole = known.state == "running" and all(each.ready for each in known.processes)
    return 0 if whole else 1


def present(data: DataFolder) -> CloudStatus:
    """What the supervisor says, and without one what is left. Raises ConfigurationError."""
    known = status.read(data)
    if known is None:
        raise ConfigurationError(
            f"There is no cloud in {data.path}.", hint="`stratuslab up` makes one; see --data."
        )
    if status.supervisor_of(data) is not None:
        return known
    left = {name: pid for pid, name in leftovers.find(data.path).items()}
    for process in known.processes:
        process.pid, process.ready = left.get(process.name), False
        process.state = "unsupervised" if process.pid else "stopped"
    if left:
        known.state = "unsupervised"
        known.message = "The supervisor is gone; `stratuslab up` takes over, `down` ends it."
    elif known.state != "failed":
        known.state, known.message = "stopped", ""
    return known


def described(known: CloudStatus, terminal: Terminal) -> str:
    """For people."""
    lines = [f"{terminal.bold(known.url)}  {known.state}  {known.message}".rstrip()]
    lines.append(f"  machines: {known.machines}")
    lines += [_line(each) for each in known.processes]
    return "\n".join(lines)


def _line(process: ProcessStatus) -> str:
    state = "ready" if process.ready else process.state
    pid = f"pid {process.pid}" if process.pid else ""
    since = _ago(process.since) if process.pid and process.since else ""
    restarts = f"restarted {process.restarts}x" if process.restarts else ""
    log = short(Path(process.log))
    return f"  {process.name:<14}{state:<14}{pid:<14}{since:<10}{restarts:<15}{log}".rstrip()


def _ago(since: datetime) -> str:
    seconds = int((datetime.now(UTC) - since).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{max(0, seconds)} s"
