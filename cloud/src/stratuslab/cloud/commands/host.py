"""`stratuslab host list|drain|resume|confirm`: the cloud's hosts."""

from __future__ import annotations

import argparse
import asyncio
from uuid import uuid4

from stratuslab.cloud.commands.common import add_data, data_folder, running_cloud
from stratuslab.core.contracts import HEARTBEAT, HOST, Host
from stratuslab.core.store.base import MAX_PAGE, Query, Store
from stratuslab.core.store.open import open_store


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.set_defaults(refuse=parser.error)
    add_data(parser)
    parser.add_argument(
        "what",
        choices=("list", "drain", "resume", "confirm"),
        help="confirm: this store may be obeyed although the host has seen a newer one",
    )
    parser.add_argument("host", nargs="?", help="name of the host")


def run(arguments: argparse.Namespace) -> int:
    """Runs the command."""
    if arguments.what != "list" and not arguments.host:
        arguments.refuse(f"{arguments.what} which host? `stratuslab host list` names them")
    running_cloud(arguments)
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    async with open_store(f"sqlite:{data_folder(arguments).store}") as store:
        if arguments.what == "list":
            return await _list(store)

        def change(host: Host) -> None:
            if arguments.what == "confirm":
                host.spec.confirmation = str(uuid4())
            else:
                host.spec.schedulable = arguments.what == "resume"
            host.generation += 1

        await store.update(HOST, arguments.host, change)
        print(f"{arguments.host}: {arguments.what} is noted.")
    return 0


async def _list(store: Store) -> int:
    page = await store.list(Query(HOST, limit=MAX_PAGE))
    alive = await store.get_many(HEARTBEAT, [each.document.id for each in page.items])
    for stored in page.items:
        host = stored.document
        notes = [
            "up" if host.id in alive else "LOST",
            "" if host.spec.schedulable else "drained",
            "observing only" if host.status.observing_only else "",
            f"{len(host.status.quarantined)} quarantined" if host.status.quarantined else "",
        ]
        print(
            f"{host.id:<20} {host.status.domain_type:<10} machines {host.assignment.machines:<6} "
            f"cpu {host.assignment.cpu}/{host.status.cpu_count}  "
            f"memory {host.assignment.memory_kib // 1024}/{host.status.memory_kib // 1024} MiB  "
            + ", ".join(note for note in notes if note)
        )
    return 0
