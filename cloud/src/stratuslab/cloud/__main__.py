"""The command `stratuslab`: parses, calls one module, turns errors into one line and a code.

Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys

import structlog

from stratuslab.cloud.commands import config, dlq, doctor, down, host, image, status, up, version
from stratuslab.core.errors import StratusLabError

COMMANDS = {
    "up": (up, "start a cloud on this machine"),
    "status": (status, "what runs"),
    "down": (down, "stop the cloud"),
    "doctor": (doctor, "what is missing on this machine, and what mends it"),
    "image": (image, "bring disk images into the cloud"),
    "host": (host, "the cloud's hosts: list, drain, confirm a restored store"),
    "dlq": (dlq, "messages that could not be handled: list, replay, discard"),
    "config": (config, "the settings of this machine"),
    "version": (version, "the version"),
}


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    options = parser().parse_args(arguments)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(30),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    module, _ = COMMANDS[options.command]
    try:
        return int(module.run(options))
    except StratusLabError as error:
        print(f"stratuslab: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(prog="stratuslab", description="An open infrastructure cloud.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, about) in COMMANDS.items():
        module.configure(commands.add_parser(name, help=about, description=about))
    return top


if __name__ == "__main__":
    sys.exit(main())
