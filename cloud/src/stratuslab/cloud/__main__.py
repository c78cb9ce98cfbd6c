"""The command `stratuslab`: parses, calls one module, turns errors into one line and a code.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import Protocol, cast

import structlog

from stratuslab.core.errors import StratusLabError

COMMANDS = {
    "up": "start a cloud on this machine",
    "status": "show what runs",
    "down": "stop the cloud",
    "doctor": "tell what is missing on this machine, and what mends it",
    "image": "bring disk images into the cloud",
    "host": "list hosts, drain them, confirm a restored store",
    "dlq": "list, replay or discard messages that could not be handled",
    "config": "show or check the settings of this machine",
    "version": "show the version",
}
"""Each is a module in `commands`."""

FAILED, INTERRUPTED = 1, 130


class Command(Protocol):
    """What a module in `commands` offers."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Adds the command's options."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Runs the command; returns its exit code. Raises StratusLabError."""
        ...


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    options = parser(given).parse_args(given)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(30),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        code = int(_module(options.command).run(options))
        sys.stdout.flush()
    except StratusLabError as error:
        print(f"stratuslab: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        print(f"stratuslab: {error.strerror or error}{where}.", file=sys.stderr)
        return FAILED
    return code


def parser(given: list[str]) -> argparse.ArgumentParser:
    """The command line. Only the command that was given is imported: others cost time."""
    top = argparse.ArgumentParser(
        prog="stratuslab",
        description="An open infrastructure cloud, run by one command.",
        epilog="Begin with `stratuslab up`; if that fails, `stratuslab doctor` tells why.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, about in COMMANDS.items():
        command = commands.add_parser(name, help=about, description=f"{about.capitalize()}.")
        if name in given:
            _module(name).configure(command)
    return top


def _module(command: str) -> Command:
    return cast("Command", import_module(f"stratuslab.cloud.commands.{command}"))


if __name__ == "__main__":
    sys.exit(main())
