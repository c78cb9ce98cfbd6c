"""Options and answers that several commands share."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path

from stratuslab.cloud import status
from stratuslab.cloud.layout import DEFAULT_DATA, DataFolder
from stratuslab.cloud.status import CloudStatus
from stratuslab.core.errors import ConfigurationError

DEFAULT_PORT = 8400
PROGRAM = "stratuslab"


def add_data(parser: argparse.ArgumentParser) -> None:
    """`--data DIR`."""
    parser.add_argument(
        "--data",
        type=Path,
        default=DEFAULT_DATA,
        metavar="DIR",
        help="the cloud's data folder (default: %(default)s)",
    )


def data_folder(arguments: argparse.Namespace) -> DataFolder:
    """The folder meant by `--data`."""
    path: Path = arguments.data
    return DataFolder(path.resolve())


def port_number(text: str) -> int:
    """The type of an option that takes a port."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; it must be 1 to 65535")
    return int(text)


def positive_number(text: str) -> int:
    """The type of an option that takes a count."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1")
    return int(text)


def running_cloud(arguments: argparse.Namespace) -> CloudStatus:
    """The cloud that runs in the data folder. Raises ConfigurationError when none does."""
    data = data_folder(arguments)
    known = status.read(data)
    if known is None or status.supervisor_of(data) is None:
        raise ConfigurationError(
            f"No cloud runs in {data.path}.", hint="`stratuslab up` starts one; see --data."
        )
    return known


def typed(command: str, data: DataFolder) -> str:
    """`stratuslab COMMAND` for this data folder, as one would type it here."""
    option = "" if data.path == DEFAULT_DATA.resolve() else f" --data {_quoted(data.path)}"
    return f"{_program()} {command}{option}"


def _program() -> str:
    """Ourselves: by name where that is found, else as we were called."""
    called = Path(sys.argv[0])
    if shutil.which(PROGRAM) or called.name != PROGRAM:
        return PROGRAM
    return _quoted(called)


def _quoted(path: Path) -> str:
    return shlex.quote(short(path))


def short(path: Path) -> str:
    """The path as one would type it from here."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
