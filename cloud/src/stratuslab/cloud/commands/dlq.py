"""`stratuslab dlq list|replay|discard`: messages that could not be handled."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import msgspec

from stratuslab.cloud.commands.common import add_data, data_folder, running_cloud
from stratuslab.core.bus.base import Bus
from stratuslab.core.bus.open import open_bus
from stratuslab.core.errors import Unavailable

CONNECT_SECONDS = 5.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.set_defaults(refuse=parser.error)
    add_data(parser)
    parser.add_argument("what", choices=("list", "replay", "discard"))
    parser.add_argument("sequence", nargs="?", type=int, help="number of the dead letter")


def run(arguments: argparse.Namespace) -> int:
    """Runs the command."""
    if arguments.what != "list" and arguments.sequence is None:
        arguments.refuse(f"{arguments.what} which letter? `stratuslab dlq list` numbers them")
    running_cloud(arguments)
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    data = data_folder(arguments)
    port = _bus_port(data.nats / "nats-server.conf")
    async with open_bus(
        f"nats://127.0.0.1:{port}", name="operator", credentials_file=data.credentials("operator")
    ) as bus:
        await _connected(bus)
        if arguments.what == "replay":
            await bus.replay(arguments.sequence)
        elif arguments.what == "discard":
            await bus.discard(arguments.sequence)
        else:
            letters = await bus.dead_letters()
            for sequence, letter in letters:
                print(f"{sequence:<8} {letter.subject}  after {letter.deliveries}: {letter.reason}")
            if not letters:
                print("There are no dead letters.")
    return 0


async def _connected(bus: Bus) -> None:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            while not bus.connected:  # noqa: ASYNC110 - the port has a state, no event
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise Unavailable(
            "The bus of this cloud does not answer.", hint="`stratuslab status` tells more."
        ) from None


def _bus_port(config: Path) -> int:
    """The port in the bus server's configuration, which the supervisor wrote."""
    described = msgspec.json.decode(config.read_bytes(), type=_BusServer)
    return described.port


class _BusServer(msgspec.Struct):
    port: int
