"""The hosts that the suite runs on, and short words for machines and marks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypervisor_hosts import HostUnderTest, LibvirtHost, SimulatedHost
from private_libvirt_fixture import LibvirtProcess, private_libvirt

from stratuslab.vm_controller.drivers.base import DomainMark, Hypervisor

__all__ = ["private_libvirt"]


@pytest.fixture(params=["simulated", pytest.param("libvirt", marks=pytest.mark.qemu)])
async def host(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[HostUnderTest]:
    """One host for each driver."""
    if request.param == "simulated":
        found: HostUnderTest = SimulatedHost(tmp_path)
    else:
        found = LibvirtHost(request.getfixturevalue("private_libvirt"), tmp_path)
    yield found
    await found.clear()


@pytest.fixture
async def libvirt_host(
    private_libvirt: LibvirtProcess, tmp_path: Path
) -> AsyncIterator[LibvirtHost]:
    """The libvirt host alone, for what only it can be asked."""
    found = LibvirtHost(private_libvirt, tmp_path)
    yield found
    await found.clear()


@pytest.fixture
async def driver(host: HostUnderTest) -> AsyncIterator[Hypervisor]:
    """An open driver."""
    async with host.driver() as opened:
        yield opened


@pytest.fixture
def id() -> str:
    """A new machine's UUID."""
    return str(uuid4())


@pytest.fixture
def mark() -> Callable[..., DomainMark]:
    """Builds a mark of the first cloud, generation, fence and boot."""

    def build(**changes: Any) -> DomainMark:
        defaults = {"cloud_id": "cloud-1", "generation": 1, "fence": 1, "boot_id": "boot-1"}
        return DomainMark(**defaults | changes)

    return build
