"""Rows: create → STARTED on simulated hosts, one at a time and sixteen at once.

STARTED is learned from the bus, as an integration would, and verified by a list at the end.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import msgspec

from bench.cloud import BenchCloud
from bench.processes import cpu_seconds
from stratuslab.cloud.cimi import Cimi
from stratuslab.cloud.images import register
from stratuslab.core.bus.credentials import read_credentials

MACHINES = 500
ALONE = 50


async def rows(cloud: BenchCloud) -> list[dict[str, Any]]:
    """The two rows; leaves MACHINES + ALONE machines behind for the rows of reads."""
    async with cloud.client() as cimi, _Started(cloud) as started:
        image = await register(cimi, "tiny", "simulated:tiny")
        alone = await _create(cloud, cimi, image, started, ALONE, 1)
        many = await _create(cloud, cimi, image, started, MACHINES, 16)
        count = (await cimi.get("machines?$filter=state='STARTED'&$last=1"))["count"]
    assert count == MACHINES + ALONE, count
    return [
        {"name": "create → STARTED, one at a time /s", **alone},
        {"name": "create → STARTED, 16 at once /s", **many},
    ]


async def _create(
    cloud: BenchCloud, cimi: Cimi, image: str, started: _Started, number: int, at_once: int
) -> dict[str, Any]:
    body = {
        "machineTemplate": {
            "initialState": "STARTED",
            "machineConfig": {"cpu": 1, "memory": 131072},
            "machineImage": {"href": image},
        }
    }
    pids = cloud.pids()
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    left = iter(range(number))
    took: list[float] = []

    async def worker() -> None:
        for _ in left:
            begin = time.perf_counter()
            machine = await cimi.post("machines", body)
            await started.wait(machine["id"].rsplit("/", 1)[1])
            took.append((time.perf_counter() - begin) * 1000)

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())
    seconds = time.perf_counter() - begin
    spent = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
    each = sum(spent.values()) / number
    shares = ", ".join(f"{name} {1000 * cpu / number:.1f}" for name, cpu in spent.items())
    return {
        "value": number / seconds,
        "p50_ms": statistics.median(took),
        "p99_ms": statistics.quantiles(took, n=100)[98],
        "cpuSecondsPerCreate": round(each, 5),
        "notes": f"cpu {each * 1000:.1f} ms a machine: {shares}",
    }


class _Started:
    """Knows which machines have reached STARTED, from the bus's events."""

    def __init__(self, cloud: BenchCloud) -> None:
        self._cloud = cloud
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._seen: set[str] = set()

    async def __aenter__(self) -> _Started:
        import nats

        credentials = read_credentials(self._cloud.data.credentials("operator"))
        config = msgspec.json.decode(
            (self._cloud.data.nats / "nats-server.conf").read_bytes(), type=dict[str, Any]
        )
        self._nats = await nats.connect(
            f"nats://127.0.0.1:{config['port']}",
            user=credentials.user,
            password=credentials.password,
            inbox_prefix=f"_INBOX_{credentials.user}".encode(),
        )
        await self._nats.subscribe("sl.vm.v1.evt.machine.state.*", cb=self._on_event)
        await self._nats.flush()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._nats.close()

    async def wait(self, id: str) -> None:
        """Until this machine is STARTED."""
        if id not in self._seen:
            self._waiting[id] = asyncio.get_running_loop().create_future()
            await asyncio.wait_for(self._waiting[id], 30)

    async def _on_event(self, message: Any) -> None:
        event = msgspec.json.decode(message.data, type=dict[str, Any])
        if event.get("state") == "STARTED":
            self._seen.add(event["id"])
            waiting = self._waiting.pop(event["id"], None)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
