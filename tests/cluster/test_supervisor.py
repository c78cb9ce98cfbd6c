"""The supervisor itself is interrupted, killed, started again: one cloud, nothing left over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cimi_client import client
from cloud_process import COMMAND, CloudProcess, free_port
from eventually import eventually

from stratuslab.cloud import leftovers

pytestmark = [pytest.mark.cluster]

SIMULATED = ["--hypervisor", "simulated"]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[CloudProcess]:
    cloud = CloudProcess(tmp_path / "data", SIMULATED)
    yield cloud
    cloud.down()
    assert leftovers.find(cloud.data) == {}


class Foreground:
    """`stratuslab up` as somebody at a terminal runs it."""

    def __init__(self, cloud: CloudProcess) -> None:
        self.output = cloud.data.with_name("output")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [COMMAND, "up", "--data", cloud.data, "--port", str(cloud.port), *SIMULATED],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def said(self, words: str) -> bool:
        return words in self.output.read_text()

    async def end(self, number: int) -> int:
        self.process.send_signal(number)
        await eventually(lambda: self.process.poll() is not None, seconds=15)
        return self.process.returncode


def state(cloud: CloudProcess) -> str:
    done = cloud.run("status", "--json")
    return str(json.loads(done.stdout)["state"]) if done.stdout else ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_ctrl_c_and_its_like_stop_everything_in_order(
    cloud: CloudProcess, number: signal.Signals
) -> None:
    up = Foreground(cloud)
    await eventually(lambda: up.said("stops it."), seconds=30)
    assert len(leftovers.find(cloud.data)) == 6
    assert await up.end(number) == 0
    assert leftovers.find(cloud.data) == {}
    assert up.output.read_text().endswith("Stopping …\nThe cloud is down.\n")
    assert state(cloud) == "stopped"


async def test_ctrl_c_during_the_start_leaves_nothing_either(cloud: CloudProcess) -> None:
    up = Foreground(cloud)
    await eventually(lambda: leftovers.find(cloud.data), seconds=30)
    assert await up.end(signal.SIGINT) == 130
    assert leftovers.find(cloud.data) == {}


async def test_services_outlive_a_killed_supervisor_and_the_next_one_takes_over(
    cloud: CloudProcess,
) -> None:
    cloud.up()
    supervisor, before = cloud.status()["pid"], cloud.pids()
    os.kill(supervisor, signal.SIGKILL)
    await eventually(lambda: state(cloud) == "unsupervised", every_seconds=0.1)
    assert cloud.pids() == before
    async with client(cloud.cimi, *cloud.login) as cimi:
        machine = await cimi.create_machine(name="kept")
        cloud.up()
        after = cloud.pids()
        assert set(after) == set(before)
        assert not set(after.values()) & set(before.values())
        assert set(leftovers.find(cloud.data)) == set(after.values())
        found = await cimi.machine(machine["id"])
        assert found is not None
        assert found["state"] == "STARTED"


async def test_down_ends_what_a_killed_supervisor_left(cloud: CloudProcess) -> None:
    cloud.up()
    os.kill(cloud.status()["pid"], signal.SIGKILL)
    await eventually(lambda: state(cloud) == "unsupervised", every_seconds=0.1)
    done = cloud.run("down")
    assert done.returncode == 0
    assert "left running: cimi-api, edge, nats, store, vm-agent, vm-scheduler" in done.stdout
    assert leftovers.find(cloud.data) == {}
    assert state(cloud) == "stopped"


def test_passwords_stand_in_no_log(cloud: CloudProcess) -> None:
    started = cloud.run("up", "--detach", "--port", str(cloud.port), *SIMULATED)
    password = cloud.login[1]
    assert password in started.stdout  # shown once, at the first start
    cloud.down()
    assert password not in cloud.run("up", "--detach", "--port", str(cloud.port), *SIMULATED).stdout
    secrets = [password]
    for file in (cloud.data / "secrets").glob("bus-*.json"):
        secrets.append(json.loads(file.read_text())["password"])
    for log in (cloud.data / "logs").iterdir():
        for secret in secrets:
            assert secret not in log.read_text(errors="replace"), log


def test_a_setting_nobody_knows_stops_the_start_in_one_line(cloud: CloudProcess) -> None:
    cloud.environment["STRATUSLAB_LOG_LEVLE"] = "debug"
    done = cloud.run("up", "--detach", "--port", str(cloud.port), *SIMULATED)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "STRATUSLAB_LOG_LEVEL" in done.stderr
    del cloud.environment["STRATUSLAB_LOG_LEVLE"]


def test_a_setting_that_is_wrong_for_one_service_stops_the_start_in_one_line(
    cloud: CloudProcess,
) -> None:
    cloud.environment["STRATUSLAB_EDGE_TLS_CERTIFICATE_FILE"] = "/no/such.pem"
    done = cloud.run("up", "--detach", "--port", str(cloud.port), *SIMULATED)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "/no/such.pem cannot be used" in done.stderr
    assert leftovers.find(cloud.data) == {}
    del cloud.environment["STRATUSLAB_EDGE_TLS_CERTIFICATE_FILE"]


def test_a_first_machine_is_shown_and_found_again(cloud: CloudProcess) -> None:
    machines = set()
    for _ in range(2):
        done = cloud.run("up", "--guest", "--once", "--port", str(cloud.port), *SIMULATED)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "STRATUSLAB READY name=first" in done.stdout
        assert done.stdout.endswith("The cloud is down.\n")
        machines |= {line.split()[1] for line in done.stdout.splitlines() if " machine  " in line}
        assert leftovers.find(cloud.data) == {}
    assert len(machines) == 1


async def test_a_first_machine_that_cannot_be_is_told_with_its_reason(tmp_path: Path) -> None:
    cloud = CloudProcess(tmp_path / "data", SIMULATED, port=free_port())
    cloud.environment["STRATUSLAB_VM_AGENT_SIMULATED_MEMORY_GIB"] = "1"
    cloud.environment["STRATUSLAB_CIMI_API_JOB_DEADLINE_SECONDS"] = "3"
    try:
        cloud.up()
        async with client(cloud.cimi, *cloud.login) as cimi:
            await cimi.create_machine(
                name="first", machineTemplate={"machineConfig": {"cpu": 1, "memory": 1 << 30}}
            )
        cloud.down()
        up = ("up", "--guest", "--once", "--port", str(cloud.port), *SIMULATED)
        done = cloud.run(*up)
        assert done.returncode == 1
        assert "room" in done.stderr or "host" in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1
    finally:
        with suppress(AssertionError):
            cloud.down()
