"""`stratuslab doctor`: what this machine lacks, and the command that mends it."""

from __future__ import annotations

import argparse

import msgspec

from stratuslab.cloud.commands.common import DEFAULT_PORT, add_data, data_folder, port_number
from stratuslab.cloud.examination import Finding, examine
from stratuslab.cloud.hypervisors import look
from stratuslab.cloud.terminal import Terminal

_SIGNS = {"cloud": "MISSING", "guests": "no guests", "": "note"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_data(parser)
    parser.add_argument(
        "--port", type=port_number, default=DEFAULT_PORT, help="port (default: %(default)s)"
    )
    parser.add_argument(
        "--need",
        choices=("cloud", "guests"),
        default="cloud",
        help="what has to be possible for exit code 0: a cloud, with simulated machines perhaps, "
        "or real guests (default: %(default)s)",
    )
    parser.add_argument("--quiet", action="store_true", help="only the exit code")
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; exit code 1 when something needed is missing."""
    findings = examine(data_folder(arguments), arguments.port, look())
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(findings)).decode())
    elif not arguments.quiet:
        print(described(findings, Terminal()))
    needed = {"cloud"} if arguments.need == "cloud" else {"cloud", "guests"}
    return 1 if any(each.need in needed and not each.ok for each in findings) else 0


def described(findings: list[Finding], terminal: Terminal) -> str:
    """For people: a line for each thing, and what mends those that are not in order."""
    lines: list[str] = []
    for each in findings:
        sign = "ok" if each.ok else terminal.bold(_SIGNS[each.need])
        lines.append(f"{sign:<11}{each.name:<20}{each.found}")
        if each.mend and not each.ok:
            lines.append(f"{'':<11}{'':<20}→ {each.mend}")
    lacking = {each.need for each in findings if not each.ok}
    if "cloud" in lacking:
        lines.append("\nA cloud cannot run here before that is mended.")
    elif "guests" in lacking:
        lines.append("\nA cloud can run here; its machines will be simulated.")
    else:
        lines.append("\nA cloud with real machines can run here.")
    return "\n".join(lines)
