"""`stratuslab image import FILE`: brings a disk image into the running cloud."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from stratuslab.cloud.cimi import Cimi
from stratuslab.cloud.commands.common import add_data, data_folder, running_cloud
from stratuslab.cloud.images import bring_in, register


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_data(parser)
    parser.add_argument("what", choices=("import",))
    parser.add_argument("file", type=Path, help="a self-contained qcow2 or raw disk image")
    parser.add_argument("--name", help="name of the image (default: the file's)")


def run(arguments: argparse.Namespace) -> int:
    """Runs the command."""
    status = running_cloud(arguments)
    password = Path(status.password_file).read_text().strip()

    async def work() -> str:
        place = await bring_in(arguments.file, data_folder(arguments).images)
        async with Cimi(status.cimi, status.user, password) as cimi:
            return await register(cimi, arguments.name or arguments.file.stem, place.as_uri())

    print(asyncio.run(work()))
    return 0
