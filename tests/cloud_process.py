"""A whole cloud of real processes for tests, driven only by what an operator has.

`stratuslab up --detach`, `status --json`, `down`: nothing else is known about the inside, but
that a process may be killed by its pid.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eventually import eventually

COMMAND = shutil.which("stratuslab", path=str(Path(sys.executable).parent)) or "stratuslab"


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class CloudProcess:
    """One cloud in its data folder."""

    data: Path
    options: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    def run(self, *arguments: str, seconds: float = 90) -> subprocess.CompletedProcess[str]:
        """One operator command on this cloud's data folder."""
        return subprocess.run(
            [COMMAND, *arguments, "--data", str(self.data)],
            capture_output=True,
            text=True,
            timeout=seconds,
            env={**os.environ, **self.environment},
            check=False,
        )

    def up(self) -> None:
        """Start it in the background; returns once it answers."""
        done = self.run("up", "--detach", "--port", str(self.port), *self.options, seconds=120)
        assert done.returncode == 0, done.stdout + done.stderr

    def down(self) -> None:
        """Stop it."""
        done = self.run("down")
        assert done.returncode == 0, done.stdout + done.stderr

    def status(self) -> dict[str, Any]:
        """What `status --json` says."""
        done = self.run("status", "--json")
        status: dict[str, Any] = json.loads(done.stdout)
        return status

    def pids(self) -> dict[str, int]:
        """The running processes by name."""
        return {each["name"]: each["pid"] for each in self.status()["processes"] if each.get("pid")}

    def kill(self, name: str) -> None:
        """kill -9 of one process of the cloud; already dead is fine."""
        pid = self.pids().get(name)
        if pid is not None:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return

    async def ready(self, seconds: float = 30) -> None:
        """Waits until every process runs and is ready."""

        def all_ready() -> bool:
            processes = self.status()["processes"]
            return bool(processes) and all(each.get("ready") for each in processes)

        await eventually(all_ready, seconds=seconds, every_seconds=0.2, what="readiness")

    @property
    def cimi(self) -> str:
        """The CIMI base URI."""
        return str(self.status()["cimi"])

    @property
    def login(self) -> tuple[str, str]:
        """User and password of the first administrator."""
        status = self.status()
        return status["user"], Path(status["password_file"]).read_text().strip()
