"""What the tests of the simulated host share: building orders, opening drivers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stratuslab.vm_controller.drivers.base import DomainMark, DomainSpec, GuestInterface
from stratuslab.vm_controller.drivers.simulated import SimulatedHypervisor

ID = "0b8f6a1e-6a3d-4c3b-9a55-0d6c9f5d2f01"


def build_mark(**changes: Any) -> DomainMark:
    return DomainMark(**{"cloud_id": "cloud-1", "generation": 1, "fence": 1} | changes)


def build_spec(id: str = ID, **changes: Any) -> DomainSpec:
    marked = {name: changes.pop(name) for name in ("fence", "generation") if name in changes}
    defaults = {
        "id": id,
        "name": f"machine-{id[:4]}",
        "cpu": 1,
        "memory_kib": 131_072,
        "disks": (),
        "interface": GuestInterface(mac="52:54:00:12:34:56"),
        "console_log": Path("/nowhere/console.log"),
        "mark": build_mark(**marked),
    }
    return DomainSpec(**defaults | changes)


def open_driver(folder: Path, host: str = "host-1", **settings: Any) -> SimulatedHypervisor:
    return SimulatedHypervisor(folder, host, **{"cpu_count": 4, "memory_kib": 8_388_608} | settings)


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.005)


@pytest.fixture
def spec() -> Callable[..., DomainSpec]:
    """Builds an order to start; `fence` and `generation` go into its mark."""
    return build_spec


@pytest.fixture
def mark() -> Callable[..., DomainMark]:
    """Builds a mark."""
    return build_mark


@pytest.fixture
def driver(tmp_path: Path) -> Callable[..., SimulatedHypervisor]:
    """Opens another driver on the same folder, by default on the same host."""
    return lambda host="host-1", **settings: open_driver(tmp_path, host, **settings)


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits until a condition holds, without an event loop."""
    return wait_until
