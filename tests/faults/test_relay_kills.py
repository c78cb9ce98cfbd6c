"""Events kept with their writes reach the bus once each, although the store process, which also
relays them, is killed again and again, and the bus as well."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path
from typing import Self

import pytest
from eventually import eventually

from stratuslab.core.bus.background import background
from stratuslab.core.bus.base import Delivery
from stratuslab.core.bus.credentials import Credentials, write_credentials
from stratuslab.core.bus.nats import NatsBus
from stratuslab.core.bus.server import NatsServer
from stratuslab.core.bus.server_config import new_user
from stratuslab.core.contracts.host import Host
from stratuslab.core.contracts.messages import HOST_STATE, HostStateChanged, event
from stratuslab.core.documents.frame import Acl, now
from stratuslab.core.errors import AlreadyExists, TransientError
from stratuslab.core.store.base import Store
from stratuslab.core.store.open import open_store

EVENTS = 200
KILLS = 5


class StoreProcess:
    """The process that owns the store and relays its events; killed at the end."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = environment
        self._log_file = log
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        with self._log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "stratuslab.core.store",
                env={**os.environ, **self._environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def kill(self) -> None:
        assert self._process is not None
        assert self._process.returncode is None, self._log_file.read_text()
        self._process.kill()
        await self._process.wait()


async def add_host(store: Store, host: str) -> None:
    """Inserts a host with its event, once, however often the owner dies meanwhile."""
    told = event(HOST_STATE, f"host/{host}", HostStateChanged(id=host, state="UP"))
    document = Host(id=host, name=host, created=now(), acl=Acl(owner="role/ADMIN"))
    while True:
        try:
            await store.insert(document, events=[told])
        except TransientError:
            await asyncio.sleep(0.01)
            continue
        except AlreadyExists:
            pass  # by the attempt before, whose owner died
        return


@pytest.mark.parametrize("seed", [11])
async def test_every_event_is_stored_once_although_its_relay_is_killed(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    relaying, watching = new_user("store"), new_user("watching")
    write_credentials(tmp_path / "store.json", Credentials(relaying.name, relaying.password))
    folder = tmp_path / "store"
    folder.mkdir()
    seen: dict[str, set[int]] = {}

    async def consumer(delivery: Delivery) -> None:
        # By sequence: a killed server may deliver again what it had delivered last.
        seen.setdefault(delivery.event.data["id"], set()).add(delivery.sequence)

    async def write(store: Store) -> None:
        for number in range(EVENTS):
            await add_host(store, f"host-{number}")
            await asyncio.sleep(chance.uniform(0, 0.02))

    async with NatsServer(tmp_path / "nats", users=[relaying, watching]) as server:
        environment = {
            "STRATUSLAB_STORE": f"sqlite:{folder}",
            "STRATUSLAB_BUS": server.url,
            "STRATUSLAB_BUS_CREDENTIALS_FILE": str(tmp_path / "store.json"),
        }
        bus = NatsBus(
            [server.url],
            name="watching",
            credentials=lambda: Credentials(watching.name, watching.password),
        )
        async with (
            bus,
            bus.consume("test", (HOST_STATE,), consumer),
            StoreProcess(environment, tmp_path / "store.log") as process,
            open_store(f"sqlite:{folder}") as store,
            background() as beside,
        ):
            writing = beside.start(write(store))
            for kill in range(KILLS):
                had = len(seen)
                await eventually(lambda had=had: len(seen) > had)  # type: ignore[misc]
                await asyncio.sleep(chance.uniform(0, 0.2))
                await process.kill()
                if kill == KILLS // 2:
                    await server.restart()
                await process.start()
            await writing
            await eventually(lambda: len(seen) == EVENTS, seconds=20)
            await asyncio.sleep(0.3)
    stored = [sequence for sequences in seen.values() for sequence in sequences]
    assert len(stored) == EVENTS, f"seed {seed}: some were stored twice"
