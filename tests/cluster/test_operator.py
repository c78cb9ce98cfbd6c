"""A cloud as its operator meets it: start, status, second cloud, trouble, stop."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cimi_client import client
from cloud_process import COMMAND, CloudProcess, free_port
from eventually import eventually
from real_parts import require

pytestmark = [pytest.mark.cluster]

SIMULATED = ["--hypervisor", "simulated"]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    cloud = CloudProcess(tmp_path_factory.mktemp("cloud") / "data", [*SIMULATED, "--hosts", "2"])
    cloud.up()
    yield cloud
    cloud.down()


def up(*arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "up", *SIMULATED, *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def lives(pid: int) -> bool:
    """A process that ended and waits for its parent to look does not live."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """It failed, and said why in one line without a traceback."""
    assert done.returncode not in {0, -9}
    lines = [line for line in done.stderr.strip().splitlines() if line]
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


def test_status_tells_scripts_what_runs(cloud: CloudProcess) -> None:
    status = cloud.status()
    assert status["cimi"] == f"{status['url']}/cimi"
    assert status["user"] == "admin"
    names = {each["name"] for each in status["processes"]}
    assert names >= {"nats", "store", "cimi-api", "vm-scheduler", "vm-agent", "edge"}
    for each in status["processes"]:
        assert each["state"] == "running"
        assert each["restarts"] == 0
        assert each["pid"] > 0


def test_the_password_is_for_its_owner_alone(cloud: CloudProcess) -> None:
    file = Path(cloud.status()["password_file"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text().strip()) >= 16
    for log in (cloud.data / "logs").glob("*.log"):
        if log.name != "supervisor.log":
            assert file.read_text().strip() not in log.read_text(errors="replace")


def test_a_second_cloud_in_the_same_folder_is_refused(cloud: CloudProcess) -> None:
    done = up("--data", str(cloud.data), "--port", str(free_port()))
    assert_one_line(done, "already runs")
    assert cloud.status()["state"] == "running"


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = up("--data", str(tmp_path / "data"), "--port", str(port))
    assert_one_line(done, str(port))


def test_a_data_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = up("--data", str(tmp_path / "file" / "data"), "--port", str(free_port()))
    assert_one_line(done, str(tmp_path / "file"))


def test_a_disk_without_room_is_refused_and_loses_nothing() -> None:
    require("root", None if os.geteuid() == 0 else "a full disk is made by mounting a small one")
    folder = Path(tempfile.mkdtemp(prefix="sl-"))
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=True, timeout=10
    )
    try:
        (folder / "filler").write_bytes(b"x" * 40_000)
        done = up("--data", str(folder / "data"), "--port", str(free_port()), seconds=120)
        assert done.returncode not in {0, -9}
        assert "Traceback" not in done.stderr
        assert "No space" in done.stderr or "full" in done.stderr, done.stderr
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=10)
        folder.rmdir()


async def test_two_clouds_run_side_by_side(cloud: CloudProcess, tmp_path: Path) -> None:
    second = CloudProcess(tmp_path / "data", SIMULATED)
    second.up()
    try:
        async with (
            client(cloud.cimi, *cloud.login) as ours,
            client(second.cimi, *second.login) as theirs,
        ):
            machine = await theirs.create_machine(name="only-there")

            async def runs() -> bool:
                found = await theirs.machine(machine["id"])
                return found is not None and found["state"] == "STARTED"

            await eventually(runs)
            names = {each.get("name") for each in (await ours.machines()).values()}
            assert "only-there" not in names
        assert cloud.login[1] != second.login[1]
    finally:
        second.down()


async def test_what_dies_is_started_again(cloud: CloudProcess) -> None:
    before = cloud.pids()
    for name in before:
        cloud.kill(name)

    def back() -> bool:
        now = cloud.pids()
        return set(now) == set(before) and all(now[name] != before[name] for name in now)

    await eventually(back, seconds=30, every_seconds=0.2)
    await cloud.ready()
    async with client(cloud.cimi, *cloud.login) as cimi:
        machine = await cimi.create_machine()

        async def runs() -> bool:
            found = await cimi.machine(machine["id"])
            return found is not None and found["state"] == "STARTED"

        await eventually(runs, seconds=20)
    assert all(each["restarts"] >= 1 for each in cloud.status()["processes"])


async def test_down_leaves_no_process_behind(tmp_path: Path) -> None:
    cloud = CloudProcess(tmp_path / "data", SIMULATED)
    cloud.up()
    pids = [*cloud.pids().values(), cloud.status()["pid"]]
    begin = time.monotonic()
    cloud.down()
    assert time.monotonic() - begin < 15
    await eventually(lambda: not [pid for pid in pids if lives(pid)], seconds=2)
    assert cloud.run("down").returncode == 0


async def test_documents_outlive_the_cloud(tmp_path: Path) -> None:
    cloud = CloudProcess(tmp_path / "data", SIMULATED)
    cloud.up()
    try:
        async with client(cloud.cimi, *cloud.login) as cimi:
            machine = await cimi.create_machine(name="kept")
        login = cloud.login
        cloud.down()
        cloud.up()
        assert cloud.login == login
        async with client(cloud.cimi, *cloud.login) as cimi:

            async def runs() -> bool:
                found = await cimi.machine(machine["id"])
                return found is not None and found["state"] == "STARTED"

            await eventually(runs, seconds=20)
    finally:
        cloud.down()


@pytest.mark.parametrize(
    "arguments", [["version"], ["doctor"], ["config", "show"], ["config", "check"], ["--help"]]
)
def test_small_commands_answer(arguments: list[str]) -> None:
    done = subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_commands_without_a_cloud_say_so(tmp_path: Path) -> None:
    for arguments in (["status"], ["dlq", "list"], ["image", "import", "/no/such/file"]):
        done = subprocess.run(
            [COMMAND, *arguments, "--data", str(tmp_path / "none")],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert_one_line(done, "stratuslab up")
