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
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    importing = actions.add_parser("import", help="copy a disk image and register it")
    add_data(importing)
    importing.add_argument("file", type=Path, help="a qcow2 or raw disk image that stands alone")
    importing.add_argument("--name", help="name of the image (default: the file's)")
    importing.add_argument("--sha256", default="", metavar="HEX", help="what its checksum must be")


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; prints the URI of the image."""
    print(asyncio.run(_import(arguments)))
    return 0


async def _import(arguments: argparse.Namespace) -> str:
    cloud = running_cloud(arguments)
    data = data_folder(arguments)
    password = data.password_file.read_text().strip()
    place = await bring_in(arguments.file, data.images, sha256=arguments.sha256)
    async with Cimi(cloud.cimi, cloud.user, password) as cimi:
        return await register(cimi, arguments.name or arguments.file.stem, place.as_uri())
