"""Options and answers that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from stratuslab.cloud import status as status_file
from stratuslab.cloud.layout import DEFAULT_DATA, DataFolder
from stratuslab.cloud.status import CloudStatus
from stratuslab.core.errors import ConfigurationError


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
    return DataFolder(path.absolute())


def running_cloud(arguments: argparse.Namespace) -> CloudStatus:
    """The cloud that runs in the data folder. Raises ConfigurationError when none does."""
    data = data_folder(arguments)
    known = status_file.read(data)
    if known is None or not status_file.is_supervised(data):
        raise ConfigurationError(
            f"No cloud runs in {data.path}.", hint="`stratuslab up` starts one."
        )
    return known
