"""The cloud under measurement: `stratuslab up` with simulated hosts, and a second front on TCP.

The figures for single requests are taken directly at one front process, because the floor is
one process too; everything else goes through the front door as users do.
"""

from __future__ import annotations

import asyncio
import base64
import signal
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from stratuslab.cloud import status as status_file
from stratuslab.cloud.cimi import Cimi
from stratuslab.cloud.layout import DataFolder
from stratuslab.core.bus.server import free_port

START_SECONDS = 60.0


class BenchCloud:
    """A running cloud. Use as `async with`."""

    def __init__(self, folder: Path) -> None:
        self.data = DataFolder(folder)
        self.port = free_port()
        self.front_port = free_port()

    async def __aenter__(self) -> Self:
        self._up = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stratuslab.cloud", "up", "--data", str(self.data.path),
            "--port", str(self.port), "--hypervisor", "simulated", "--hosts", "4",
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(START_SECONDS):
            while (known := status_file.read(self.data)) is None or known.state != "running":  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        self.cimi = known.cimi
        self.password = Path(known.password_file).read_text().strip()
        self._front = await self._second_front()
        await asyncio.sleep(2)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in (self._front, self._up):
            process.send_signal(signal.SIGTERM)
            await process.wait()

    @property
    def front(self) -> str:
        """The second front's base URI, without the front door."""
        return f"http://127.0.0.1:{self.front_port}/cimi"

    @property
    def authorization(self) -> str:
        """The header of the administrator."""
        return "Basic " + base64.b64encode(f"admin:{self.password}".encode()).decode()

    def client(self, base: str | None = None) -> Cimi:
        """A session, through the front door unless told otherwise."""
        return Cimi(base or self.cimi, "admin", self.password)

    def pids(self) -> dict[str, int]:
        """The processes of the cloud by name."""
        known = status_file.read(self.data)
        assert known is not None
        return {each.name: each.pid for each in known.processes if each.pid}

    async def _second_front(self) -> asyncio.subprocess.Process:
        """A front like the cloud's own, but on a port of its own that believes nobody."""
        theirs = Path(f"/proc/{self.pids()['cimi-api']}/environ").read_bytes().split(b"\0")
        environment = dict(line.decode().split("=", 1) for line in theirs if b"=" in line)
        environment |= {
            "STRATUSLAB_CIMI_API_LISTEN": f"127.0.0.1:{self.front_port}",
            "STRATUSLAB_CIMI_API_TRUST_FORWARDED": "false",
            "STRATUSLAB_OPS_LISTEN": "",
        }
        with (self.data.logs / "second-front.log").open("wb") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "stratuslab.cimi_api", env=environment, stderr=log
            )
