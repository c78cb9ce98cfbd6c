"""kill -9 of any process around five real guests: each runs exactly once, nothing is left over.

The guests are the smallest there are (`boot_sector`); victims and moments come from a printed
seed, which STRATUSLAB_SEED repeats.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from boot_sector import write_boot_disk
from cimi_client import CimiClient, client
from cloud_process import CloudProcess
from eventually import eventually
from real_parts import missing_libvirt, require

FULL = bool(os.environ.get("STRATUSLAB_FULL"))
KILLS = 16 if FULL else 6
GUESTS, DELETED = 5, 2

pytestmark = [pytest.mark.cluster, pytest.mark.qemu, pytest.mark.timeout(400 if FULL else 200)]


@pytest.fixture
def cloud() -> Iterator[CloudProcess]:
    require("libvirt with QEMU", missing_libvirt())
    folder = Path(tempfile.mkdtemp(prefix="sl-"))
    cloud = CloudProcess(folder / "data", ["--hypervisor", "libvirt"])
    cloud.up()
    try:
        yield cloud
    finally:
        cloud.down()
        shutil.rmtree(folder)


def processes_naming(*words: str) -> list[list[str]]:
    """The command lines of all QEMU processes that hold each of these words."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "qemu-system" in line[0] and all(any(word in each for each in line) for word in words):
            found.append(line)
    return found


async def create(cimi: CimiClient, image: str, number: int) -> str:
    machine = await cimi.create_machine(
        name=f"guest-{number}",
        machineTemplate={
            "machineConfig": {"cpu": 1, "memory": 65536},
            "machineImage": {"href": image},
        },
    )
    return str(machine["id"])


async def test_five_real_guests_survive_kills_of_every_process(
    cloud: CloudProcess, tmp_path: Path
) -> None:
    seed = int(os.environ.get("STRATUSLAB_SEED", time.time_ns() % 1_000_000))
    print(f"STRATUSLAB_SEED={seed}")
    chance = random.Random(seed)
    disk = tmp_path / "boot.img"
    write_boot_disk(disk)
    imported = cloud.run("image", "import", str(disk))
    assert imported.returncode == 0, imported.stderr
    image = next(word for word in imported.stdout.split() if "/machineImages/" in word)
    victims = sorted(cloud.pids())
    assert "libvirt" in victims
    async with client(cloud.cimi, *cloud.login) as cimi:

        async def strike() -> None:
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(0.2, 2.0))
                victim = chance.choice(victims)
                print("kill -9", victim)
                await asyncio.to_thread(cloud.kill, victim)

        async def live() -> list[str]:
            ids = [await create(cimi, image, number) for number in range(GUESTS)]
            await asyncio.sleep(chance.uniform(0, 2.0))
            for id in ids[:DELETED]:
                await cimi.delete(id)
            return ids

        async with asyncio.TaskGroup() as group:
            group.create_task(strike())
            living = group.create_task(live())
        ids = living.result()
        await cloud.ready(seconds=60)

        async def settled() -> bool:
            machines = await cimi.machines()
            return set(machines) == set(ids[DELETED:]) and all(
                each["state"] == "STARTED" for each in machines.values()
            )

        await eventually(settled, seconds=90, every_seconds=0.5, what="three running machines")
        for id in ids[DELETED:]:
            assert len(processes_naming(id.rsplit("/", 1)[1])) == 1, id
        for id in ids[:DELETED]:
            uuid = id.rsplit("/", 1)[1]
            assert processes_naming(uuid) == []
            assert not list((cloud.data / "hosts").glob(f"*/machines/{uuid}"))

        async def no_open_job() -> bool:
            jobs = await cimi.persist("GET", "jobs?$last=1000")
            return all(job["state"] not in {"RUNNING", "STOPPING"} for job in jobs.get("jobs", []))

        await eventually(no_open_job, seconds=60, every_seconds=0.5, what="no open job")

    cloud.down()
    await eventually(
        lambda: processes_naming(str(cloud.data)) == [], seconds=5, what="no guest left"
    )
    cloud.up()
    async with client(cloud.cimi, *cloud.login) as cimi:
        await eventually(
            lambda: all(processes_naming(id.rsplit("/", 1)[1]) for id in ids[DELETED:]),
            seconds=60,
            every_seconds=0.3,
            what="the guests back after a reboot of their host",
        )
