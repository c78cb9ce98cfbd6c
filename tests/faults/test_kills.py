"""kill -9 of any process at random moments: nothing is lost, doubled, orphaned or stuck.

The moments and victims come from a printed seed; repeat a run with STRATUSLAB_SEED.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cimi_client import CimiClient, client
from cloud_process import CloudProcess
from eventually import eventually

from stratuslab.vm_controller.drivers.simulated.history import check_journals, hosts_of
from stratuslab.vm_controller.drivers.simulated.outside import list_domains

FULL = bool(os.environ.get("STRATUSLAB_FULL"))
CREATES, DELETES = (200, 100) if FULL else (60, 30)
KILLS = 14 if FULL else 5
HOSTS = 3

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600 if FULL else 240)]


@pytest.fixture
def seed() -> int:
    number = int(os.environ.get("STRATUSLAB_SEED", time.time_ns() % 1_000_000))
    print(f"STRATUSLAB_SEED={number}")
    return number


@pytest.fixture
def cloud(tmp_path: Path):  # type: ignore[no-untyped-def]
    cloud = CloudProcess(tmp_path / "data", ["--hypervisor", "simulated", "--hosts", str(HOSTS)])
    cloud.up()
    try:
        yield cloud
    finally:
        cloud.down()


def running_domains(cloud: CloudProcess) -> Counter[str]:
    """How often each domain stands on any host."""
    folder = cloud.data / "hosts"
    return Counter(domain.id for host in hosts_of(folder) for domain in list_domains(folder, host))


def uuid_of(machine: dict[str, Any]) -> str:
    return str(machine["id"]).rsplit("/", 1)[1]


async def load(cimi: CimiClient, chance: random.Random) -> tuple[set[str], set[str]]:
    """CREATES machines and DELETES of them, a few at a time; kept and deleted ids."""
    kept: set[str] = set()
    deleted: set[str] = set()
    gate = asyncio.Semaphore(8)
    await cimi.image()

    async def life(number: int) -> None:
        async with gate:
            machine = await cimi.create_machine(name=f"m{number}")
        if number < DELETES:
            await asyncio.sleep(chance.uniform(0, 1.0))
            async with gate:
                await cimi.delete(machine["id"])
            deleted.add(machine["id"])
        else:
            kept.add(machine["id"])

    async with asyncio.TaskGroup() as group:
        for number in range(CREATES):
            group.create_task(life(number))
    return kept, deleted


async def assert_whole(cloud: CloudProcess, cimi: CimiClient, kept: set[str]) -> None:
    """Every kept machine runs exactly once, nothing else stands anywhere, no job is open."""

    async def settled() -> bool:
        machines = await cimi.machines()
        return set(machines) == kept and all(
            each["state"] == "STARTED" for each in machines.values()
        )

    await eventually(settled, seconds=60, every_seconds=0.3, what="all machines settled")
    machines = await cimi.machines()
    wanted = Counter(uuid_of(machine) for machine in machines.values())
    await eventually(
        lambda: running_domains(cloud) == wanted, seconds=30, what="one domain for each machine"
    )
    assert check_journals(cloud.data / "hosts") == []
    assert len({machine["vmid"] for machine in machines.values()}) == len(machines)

    async def no_open_job() -> bool:
        jobs = await cimi.persist("GET", "jobs?$last=1000")
        return all(job["state"] not in {"RUNNING", "STOPPING"} for job in jobs.get("jobs", []))

    await eventually(no_open_job, seconds=90, every_seconds=0.5, what="no open job")


async def test_any_process_may_be_killed_at_any_moment(cloud: CloudProcess, seed: int) -> None:
    chance = random.Random(seed)
    victims = sorted(cloud.pids())
    async with client(cloud.cimi, *cloud.login) as cimi:

        async def strike() -> None:
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(0.1, 1.5))
                victim = chance.choice(victims)
                print("kill -9", victim)
                await asyncio.to_thread(cloud.kill, victim)

        async with asyncio.TaskGroup() as group:
            striking = group.create_task(strike())
            loading = group.create_task(load(cimi, chance))
        assert striking.done()
        kept, _deleted = loading.result()
        await cloud.ready(seconds=60)
        await assert_whole(cloud, cimi, kept)


async def test_all_processes_killed_at_once_lose_nothing(cloud: CloudProcess, seed: int) -> None:
    chance = random.Random(seed)
    async with client(cloud.cimi, *cloud.login) as cimi:

        async def strike() -> None:
            await asyncio.sleep(chance.uniform(0.3, 1.0))
            for name in sorted(cloud.pids()):
                cloud.kill(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(strike())
            loading = group.create_task(load(cimi, chance))
        kept, _deleted = loading.result()
        await cloud.ready(seconds=60)
        await assert_whole(cloud, cimi, kept)
