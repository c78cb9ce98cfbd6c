"""`stratuslab status`: what runs, since when, how often it was started again."""

from __future__ import annotations

import argparse

import msgspec

from stratuslab.cloud import status as status_file
from stratuslab.cloud.commands.common import add_data, data_folder
from stratuslab.core.errors import ConfigurationError


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_data(parser)
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; exit code 0 only when everything is ready."""
    data = data_folder(arguments)
    known = status_file.read(data)
    if known is None:
        raise ConfigurationError(
            f"There is no cloud in {data.path}.", hint="`stratuslab up` makes one."
        )
    if not status_file.is_supervised(data) and known.state not in {"stopped", "failed"}:
        known.state, known.message = "unsupervised", "The supervisor is gone; run `up` again."
    for process in known.processes:
        if not status_file.alive(process):
            process.pid, process.ready = None, False
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(known)).decode())
    else:
        print(f"{known.url}  {known.state}  {known.message}".rstrip())
        for each in known.processes:
            ready = "ready" if each.ready else each.state
            print(f"  {each.name:<14} {ready:<12} pid {each.pid or '-':<8} "
                  f"restarts {each.restarts:<4} {each.log}")  # fmt: skip
    whole = known.state == "running" and all(each.ready for each in known.processes)
    return 0 if whole else 1
