"""A real process around `lamp_service`, and what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually

SERVICE = Path(__file__).with_name("lamp_service.py")


class Lamp:
    """One process of the lamp service."""

    def __init__(self, folder: Path, behaviour: str, log: str = "", **settings: str) -> None:
        self.address_file = folder / f"{behaviour}.address"
        self._log = Path(log) if log else folder / f"{behaviour}.log"
        environment = {
            "STRATUSLAB_STORE": "memory:",
            "STRATUSLAB_BUS": "memory:",
            "STRATUSLAB_OPS_LISTEN": "127.0.0.1:0",
            "STRATUSLAB_OPS_ADDRESS_FILE": str(self.address_file),
            **settings,
        }
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("STRATUSLAB_")}
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(SERVICE), behaviour],
                env=inherited | environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=output,
            )

    @property
    def output(self) -> str:
        """All that was written to stderr so far."""
        return self._log.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log lines."""
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]

    @property
    def events(self) -> list[str]:
        """The events that were logged."""
        return [line["event"] for line in self.lines]

    async def address(self) -> str:
        """Where its health is served, once it is."""
        await eventually(self.address_file.exists, seconds=20, what="the address file")
        return self.address_file.read_text()

    async def exit_status(self, seconds: float = 20) -> int:
        """Waits for its end."""
        await eventually(lambda: self.process.poll() is not None, seconds=seconds, what="the end")
        return int(self.process.returncode)


@pytest.fixture
def lamp(tmp_path: Path) -> Iterator[Callable[..., Lamp]]:
    """Starts lamp services; none of them outlives the test."""
    lamps: list[Lamp] = []

    def start(behaviour: str, log: str = "", **settings: str) -> Lamp:
        lamps.append(Lamp(tmp_path, behaviour, log, **settings))
        return lamps[-1]

    yield start
    for each in lamps:
        each.process.kill()
        each.process.wait()
        assert each.process.stdin is not None
        each.process.stdin.close()
