"""`stratuslab config show|check`: the settings of this machine and where they come from."""

from __future__ import annotations

import argparse
import os

import msgspec

from stratuslab.core.settings.show import as_text, shown


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("what", choices=("show", "check"))
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; wrong settings raise ConfigurationError."""
    lines = shown(os.environ)
    if arguments.what == "check":
        print(f"{len(lines)} settings, nothing wrong.")
    elif arguments.json:
        print(msgspec.json.format(msgspec.json.encode(lines)).decode())
    else:
        print(as_text(lines), end="")
    return 0
