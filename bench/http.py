"""Rows: single requests at one front process beside a bare handler that sends the same bytes."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from bench.cloud import BenchCloud
from bench.wrk import Load, load
from stratuslab.core.bus.server import free_port

SECONDS = 4.0
ROUNDS = 3
"""Cloud and floor take turns; the medians of the rounds are compared."""


async def rows(cloud: BenchCloud) -> list[dict[str, Any]]:
    """GET of one machine, GET of a hundred, POST of a machine."""
    async with aiohttp.ClientSession(headers={"Authorization": cloud.authorization}) as session:
        async with session.get(f"{cloud.front}/machines?$last=1") as answer:
            machine = (await answer.json())["machines"][0]["id"]
        one = machine if machine.startswith(cloud.front) else (
            f"{cloud.front}/machines/{machine.rsplit('/', 1)[1]}"
        )  # fmt: skip
        hundred = f"{cloud.front}/machines?$first=1&$last=100"
        bodies = []
        for url in (one, hundred):
            async with session.get(url) as answer:
                assert answer.status == 200, await answer.text()
                bodies.append(await answer.read())
        async with session.get(f"{cloud.front}/machineImages") as answer:
            image = (await answer.json())["machineImages"][0]["id"]
        create = msgspec.json.encode(
            {
                "machineTemplate": {
                    "machineConfig": {"cpu": 1, "memory": 131072},
                    "machineImage": {"href": image},
                }
            }
        )
        async with session.post(f"{cloud.front}/machines", data=create, headers=JSON) as answer:
            assert answer.status == 201, await answer.text()
            bodies.append(await answer.read())
    return [
        await _row(f"GET one machine ({len(bodies[0])} B) /s", one, bodies[0], cloud),
        await _row(f"GET list of 100 ({len(bodies[1]) // 1000} kB) /s", hundred, bodies[1], cloud),
        await _row(
            "POST create (STOPPED) /s",
            f"{cloud.front}/machines",
            bodies[2],
            cloud,
            post=create,
            status=201,
        ),
    ]


JSON = {"Content-Type": "application/json"}


async def _row(
    name: str,
    url: str,
    body: bytes,
    cloud: BenchCloud,
    *,
    post: bytes | None = None,
    status: int = 200,
) -> dict[str, Any]:
    loads: list[tuple[Load, Load]] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "body"
        file.write_bytes(body)
        port = free_port()
        floor = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.floor", str(port), str(file), str(status)
        )
        try:
            await _answers(port)
            for _ in range(ROUNDS if post is None else 1):
                ours = await asyncio.to_thread(
                    load, url, seconds=SECONDS, authorization=cloud.authorization, body=post
                )
                bare = await asyncio.to_thread(
                    load, f"http://127.0.0.1:{port}/", seconds=SECONDS, body=post
                )
                loads.append((ours, bare))
        finally:
            floor.send_signal(signal.SIGTERM)
            await floor.wait()
    loads.sort(key=lambda pair: pair[0].requests_per_second / pair[1].requests_per_second)
    ours, bare = loads[len(loads) // 2]
    return {
        "name": name,
        "value": ours.requests_per_second,
        "floor": bare.requests_per_second,
        "p50_ms": ours.p50_ms,
        "p99_ms": ours.p99_ms,
        "notes": f"floor p50 {bare.p50_ms:.2f} ms",
    }


async def _answers(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
