"""What `stratuslab up` shows once things run: plain text, one readable screen each. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stratuslab.cloud.commands.common import short, typed
from stratuslab.cloud.first_guest import ShownGuest
from stratuslab.cloud.layout import DataFolder
from stratuslab.cloud.status import CloudStatus
from stratuslab.cloud.terminal import Terminal

LOGIN = '"$LOGIN"'


def cloud_screen(
    status: CloudStatus, data: DataFolder, terminal: Terminal, *, password: str = ""
) -> str:
    """Where the cloud is and how to use it. `password`: shown at the first start only."""
    file = short(data.password_file)
    shown = f"{password}  (kept in {file})" if password else f"in {file}"
    return f"""
  {terminal.bold("The cloud is up.")}

    address    {status.cimi}
    user       {status.user}
    password   {shown}
    machines   {status.machines}
    logs       {short(data.logs)}

  Try
    export LOGIN="{status.user}:$(cat {file})"
    curl -u {LOGIN} {status.cimi}/machines
    {typed("status", data)}
"""


def down_line(status: CloudStatus | None) -> str:
    """That everything is stopped, but for what is not ours to stop."""
    if status is not None and status.guests_run_on:
        return f"The cloud is down. Its machines run on, {status.machines}."
    return "The cloud is down."


def guest_screen(
    shown: ShownGuest, data: DataFolder, terminal: Terminal, *, simulated: bool
) -> str:
    """The guest's own words, how to reach it, and what to do with it."""
    machine, banner = shown.machine, shown.banner
    words = "\n".join(f"    | {line.rstrip()}" for line in banner.splitlines() if line.strip())
    id = machine["id"]
    return f"""
  {terminal.bold("The guest says:")}
{words}

  {terminal.bold("The first machine runs")} after {shown.seconds:.1f} s.

    machine    {id}
{_reached(machine, data, login=not simulated)}
  Try
    curl -u {LOGIN} {id}
    curl -u {LOGIN} {id}/consoleLog
    curl -u {LOGIN} -X POST {id}/stop
"""


def _reached(machine: Mapping[str, Any], data: DataFolder, *, login: bool) -> str:
    lines = ""
    for address in machine.get("addresses", []):
        if address.get("ip"):
            lines += f"    address    {address['ip']}\n"
        if login and address.get("sshHost"):
            port = address.get("sshPort", 22)
            option = "" if port == 22 else f" -p {port}"
            key = short(data.ssh_key)
            lines += f"    log in     ssh -i {key}{option} stratus@{address['sshHost']}\n"
    return lines
