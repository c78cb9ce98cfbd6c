"""Messages lost, tripled and out of order, between real processes: it costs time, nothing else."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from bus_shim import BusShim
from cimi_client import CimiClient, client
from cloud_process import free_port
from eventually import eventually

from stratuslab.cloud.hypervisors import Choice
from stratuslab.cloud.layout import DataFolder
from stratuslab.cloud.processes import SERVICES, CloudPlan, programs
from stratuslab.core.bus.credentials import Credentials, write_credentials
from stratuslab.core.bus.server import NatsServer
from stratuslab.core.bus.server_config import new_user
from stratuslab.core.security.vault import create_key_file
from stratuslab.vm_controller.drivers.simulated.history import check_journals, hosts_of
from stratuslab.vm_controller.drivers.simulated.outside import list_domains

FULL = bool(os.environ.get("STRATUSLAB_FULL"))
SILENT_SECONDS = 30.0 if FULL else 6.0
MACHINES = 60 if FULL else 24

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@dataclass
class ShimmedCloud:
    """A cloud whose every message passes through the shim."""

    cimi: CimiClient
    shim: BusShim
    hosts: Path

    def domains(self) -> Counter[str]:
        return Counter(
            f"{domain.id} {domain.state.value}"
            for host in hosts_of(self.hosts)
            for domain in list_domains(self.hosts, host)
        )

    async def settled(self, states: dict[str, str]) -> None:
        """Waits until the machines are in these states, then compares with the hosts."""

        async def there() -> bool:
            machines = await self.cimi.machines()
            return {id: each["state"] for id, each in machines.items()} == states

        await eventually(there, seconds=90, every_seconds=0.3, what="the wanted states")
        word = {"STARTED": "running", "STOPPED": "stopped", "PAUSED": "paused"}
        wanted = Counter(f"{id.rsplit('/', 1)[1]} {word[state]}" for id, state in states.items())
        await eventually(lambda: self.domains() == wanted, seconds=20, what="the same on hosts")
        assert check_journals(self.hosts) == []


@asynccontextmanager
async def shimmed_cloud(folder: Path, seed: int) -> AsyncIterator[ShimmedCloud]:
    data = DataFolder(folder)
    data.prepare()
    create_key_file(data.secrets / "vault.key")
    users = [new_user(name) for name in SERVICES]
    for user in users:
        write_credentials(data.credentials(user.name), Credentials(user.name, user.password))
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(NatsServer(data.nats, users=users))
        shim = await stack.enter_async_context(BusShim(server.url, seed=seed))
        port = free_port()
        plan = CloudPlan(
            data=data,
            listen=f"127.0.0.1:{port}",
            url=f"http://127.0.0.1:{port}",
            bus_port=urlsplit(shim.url).port or 0,
            bus_argv=(),
            choice=Choice("simulated", why="for this test"),
            hosts=3,
            base={"PATH": os.environ["PATH"]},
            settings={
                "STRATUSLAB_VM_AGENT_SWEEP_SECONDS": "1",
                "STRATUSLAB_VM_SCHEDULER_SWEEP_SECONDS": "1",
            },
        )
        for program in programs(plan):
            if program.name != "nats":
                await stack.enter_async_context(_process(program.argv, dict(program.environment)))
        await eventually(data.password_file.exists, seconds=20, what="the first start")
        password = data.password_file.read_text().strip()
        cimi = await stack.enter_async_context(client(f"{plan.url}/cimi", "admin", password))
        await cimi.persist("GET", "machines")
        yield ShimmedCloud(cimi, shim, data.hosts)


@asynccontextmanager
async def _process(argv: tuple[str, ...], environment: dict[str, str]) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *argv, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 15)


@pytest.fixture
def seed() -> int:
    number = int(os.environ.get("STRATUSLAB_SEED", time.time_ns() % 1_000_000))
    print(f"STRATUSLAB_SEED={number}")
    return number


async def test_with_every_message_dropped_the_sweeps_do_all_the_work(
    tmp_path: Path, seed: int
) -> None:
    async with shimmed_cloud(tmp_path / "data", seed) as cloud:
        before = [await cloud.cimi.create_machine(name=f"b{n}") for n in range(4)]
        await cloud.settled({each["id"]: "STARTED" for each in before})
        cloud.shim.drop_everything()
        silent_until = time.monotonic() + SILENT_SECONDS
        created = [await cloud.cimi.create_machine(name=f"m{n}") for n in range(MACHINES)]
        await cloud.cimi.act(before[0]["id"], "stop", force=True)
        await cloud.cimi.delete(before[1]["id"])
        states = {each["id"]: "STARTED" for each in (*before[2:], *created)}
        states[before[0]["id"]] = "STOPPED"
        await cloud.settled(states)
        while time.monotonic() < silent_until:
            await asyncio.sleep(0.5)
        cloud.shim.deliver()
        await cloud.settled(states)


async def test_with_every_message_tripled_and_shuffled_the_outcome_is_the_same(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    async with shimmed_cloud(tmp_path / "data", seed) as cloud:
        cloud.shim.multiply(copies=3, within_seconds=1.0)
        created = [await cloud.cimi.create_machine(name=f"m{n}") for n in range(MACHINES)]
        states = {each["id"]: "STARTED" for each in created}
        await cloud.settled(states)
        for id in chance.sample(sorted(states), MACHINES // 2):
            action, state = chance.choice([("stop", "STOPPED"), ("pause", "PAUSED")])
            await cloud.cimi.act(id, action, **({"force": True} if action == "stop" else {}))
            states[id] = state
        for id in chance.sample(sorted(states), MACHINES // 4):
            await cloud.cimi.delete(id)
            del states[id]
        await cloud.settled(states)
