"""Disks of simulated machines: descriptions only, no file is made."""

from __future__ import annotations

from pathlib import Path

from stratuslab.core.contracts.machine import DiskSpec
from stratuslab.vm_controller.drivers.base import DomainDisk


class SimulatedBootDisks:
    """Every image exists and every disk fits."""

    def __init__(self, machines: Path = Path("/simulated")) -> None:
        self._machines = machines

    async def prepare(self, machine_id: str, image_location: str) -> DomainDisk:  # noqa: ARG002
        """A disk that nothing is behind."""
        return DomainDisk(path=self._machines / machine_id / "boot.qcow2", format="qcow2")

    async def prepare_data(self, machine_id: str, number: int, disk: DiskSpec) -> DomainDisk:  # noqa: ARG002
        """Likewise."""
        return DomainDisk(path=self._machines / machine_id / f"data-{number}.raw", format="raw")

    async def release(self, machine_id: str) -> None:
        """Nothing was made."""
