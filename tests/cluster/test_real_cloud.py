"""A cloud with real guests: the first machine's own banner, and what becomes of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_process import CloudProcess
from eventually import eventually
from real_parts import missing_libvirt, missing_root_network, require

from stratuslab.cloud import leftovers
from stratuslab.vm_controller.private_libvirt import InstanceFolder

IMAGE = Path(__file__).parents[2] / "build/images/tiny.qcow2"
READY = "STRATUSLAB READY name=first address="

pytestmark = [pytest.mark.cluster, pytest.mark.qemu, pytest.mark.timeout(300)]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[CloudProcess]:
    require("libvirt", missing_libvirt())
    require("libvirt network", missing_root_network())
    require("guest image", None if IMAGE.exists() else f"no {IMAGE}; run: make image")
    cloud = CloudProcess(tmp_path / "data", ["--hypervisor", "libvirt"])
    yield cloud
    cloud.down()
    assert nothing_lives(cloud)


def guests(cloud: CloudProcess) -> list[int]:
    return InstanceFolder(cloud.data / "libvirt").guest_processes()


def nothing_lives(cloud: CloudProcess) -> bool:
    """No process of the cloud, its libvirt or its guests."""
    named = [
        command
        for process in Path("/proc").glob("[0-9]*/cmdline")
        if str(cloud.data) in (command := read(process)) and "pytest" not in command
    ]
    return not named and not leftovers.find(cloud.data)


def read(process: Path) -> str:
    try:
        return process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def test_one_command_shows_a_real_guest_and_stops_it_again(cloud: CloudProcess) -> None:
    up = ("up", "--guest", "--once", "--port", str(cloud.port))
    first = cloud.run(*up, "--image", str(IMAGE), seconds=240)
    assert first.returncode == 0, first.stdout + first.stderr
    assert READY in first.stdout
    assert "Welcome to first, a StratusLab machine" in first.stdout
    assert "secrets/ssh-key stratus@" in first.stdout
    assert nothing_lives(cloud)
    again = cloud.run(*up, seconds=240)
    assert again.returncode == 0, again.stdout + again.stderr
    assert READY in again.stdout
    assert machine_in(first.stdout) == machine_in(again.stdout)


async def test_guests_outlive_a_killed_supervisor_but_not_down(cloud: CloudProcess) -> None:
    up = ("up", "--guest", "--detach", "--port", str(cloud.port))
    done = cloud.run(*up, "--image", str(IMAGE), seconds=240)
    assert done.returncode == 0, done.stdout + done.stderr
    running = guests(cloud)
    assert len(running) == 1
    cloud.kill("libvirt")
    await cloud.ready()
    assert guests(cloud) == running
    os.kill(cloud.status()["pid"], signal.SIGKILL)
    await eventually(lambda: cloud.status()["state"] == "unsupervised", every_seconds=0.1)
    again = cloud.run(*up, seconds=240)
    assert again.returncode == 0, again.stdout + again.stderr
    assert guests(cloud) == running
    os.kill(cloud.status()["pid"], signal.SIGKILL)
    os.kill(cloud.pids()["libvirt"], signal.SIGKILL)
    cloud.down()
    assert guests(cloud) == []


def machine_in(output: str) -> str:
    return next(line.split()[1] for line in output.splitlines() if " machine  " in line)
