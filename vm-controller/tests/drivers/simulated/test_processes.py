"""Several processes at one host: killed, stopped, racing, and without room on the disk."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stratuslab.vm_controller.drivers.base import (
    DomainMark,
    DomainRejected,
    DomainSpec,
    DomainState,
    HypervisorUnavailable,
    StopReason,
)
from stratuslab.vm_controller.drivers.simulated import (
    Behaviour,
    SimulatedHypervisor,
    check_journals,
    decisions,
    read_host,
    read_journal,
)
from stratuslab.vm_controller.drivers.simulated.journal import (
    Event,
    Happening,
    HostState,
    encode,
)
from stratuslab.vm_controller.drivers.simulated.journal_file import JournalFile, journal_numbers

ID = "0b8f6a1e-6a3d-4c3b-9a55-0d6c9f5d2f01"
SCRIPT = Path(__file__).with_name("driving_process.py")

Driver = Callable[..., SimulatedHypervisor]
Spec = Callable[..., DomainSpec]
Mark = Callable[..., DomainMark]


@contextmanager
def driving(
    folder: Path, host: str, *, fence: int, seed: int, count: int = 10**9, limit: int = 200_000
) -> Iterator[subprocess.Popen[str]]:
    """A process that drives the host, from when it is connected; killed at the end."""
    numbers = [str(number) for number in (fence, seed, count, limit)]
    command = [sys.executable, str(SCRIPT), str(folder), host, *numbers]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == str(process.pid)
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def lines_of(folder: Path, host: str) -> int:
    return read_host(folder, host).sequence


@pytest.mark.parametrize("limit", [20_000, 10_000_000])
def test_processes_that_race_for_one_host_leave_one_history(tmp_path: Path, limit: int) -> None:
    with (
        driving(tmp_path, "host-1", fence=1, seed=1, count=3000, limit=limit) as one,
        driving(tmp_path, "host-1", fence=1, seed=2, count=3000, limit=limit) as two,
        driving(tmp_path, "host-1", fence=2, seed=3, count=3000, limit=limit) as three,
    ):
        assert [process.wait(60) for process in (one, two, three)] == [0, 0, 0]
    breaches = [line for line in check_journals(tmp_path) if "under fence" not in line]
    assert breaches == [], "fences may go down only where a removed domain was forgotten"
    history = read_journal(tmp_path, "host-1")
    numbers = [line.sequence for line in history]
    assert numbers == list(range(numbers[0], numbers[0] + len(history)))
    if limit == 10_000_000:
        assert {line.pid for line in history} == {one.pid, two.pid, three.pid}


def test_kills_at_any_moment_leave_a_host_that_goes_on(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(8):
        with driving(tmp_path, "host-1", fence=1, seed=chance.randrange(1000)) as process:
            before = lines_of(tmp_path, "host-1")
            time.sleep(chance.uniform(0.0, 0.15))
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert lines_of(tmp_path, "host-1") >= before
    assert check_journals(tmp_path) == []


async def test_a_process_stopped_at_any_moment_holds_nobody_up(
    driver: Driver, spec: Spec, mark: Mark, tmp_path: Path
) -> None:
    with driving(tmp_path, "host-1", fence=1, seed=5, limit=5000) as process:
        for round in range(10):
            await asyncio.sleep(0.02)
            process.send_signal(signal.SIGSTOP)
            async with driver(timeout_seconds=5.0) as replacement, asyncio.timeout(5):
                await replacement.start(spec(fence=2, generation=round))
                await replacement.pause(ID, mark(fence=2, generation=round))
                process.send_signal(signal.SIGCONT)
                await asyncio.sleep(0.02)
                found = await replacement.find(ID)
                assert found is not None
                assert found.state is DomainState.PAUSED
    assert check_journals(tmp_path) == []
    assert journal_numbers(tmp_path / "host-1")[-1] > 1, "it was rotated meanwhile"


async def test_who_was_stopped_between_deciding_and_writing_decides_anew(
    driver: Driver, spec: Spec, mark: Mark, tmp_path: Path
) -> None:
    async with driver() as replacement:
        await replacement.start(spec(fence=1))
        sleepy = JournalFile(tmp_path / "host-1", create=False)
        other = JournalFile(tmp_path / "host-1", create=False)

        def decide(state: HostState) -> Happening | None:
            happening = decisions.stop(state, ID, mark(fence=1))
            other.record(lambda other_state: decisions.mark(other_state, ID, mark(fence=2)))
            return happening

        with pytest.raises(DomainRejected, match="Stale fence"):
            sleepy.record(decide)
        found = await replacement.find(ID)
        assert found is not None
        assert found.state is DomainState.RUNNING
        sleepy.close()
        other.close()


async def test_a_line_that_lacks_but_its_end_counts_once_somebody_writes(
    driver: Driver, spec: Spec, mark: Mark, tmp_path: Path
) -> None:
    async with driver() as hypervisor:
        await hypervisor.start(spec())
        crash = Happening(
            sequence=3, at=time.time(), event=Event.STOPPED, id=ID, reason=StopReason.CRASH
        )
        with (tmp_path / "host-1" / "journal.1.jsonl").open("ab") as journal:
            journal.write(encode(crash)[:-1])
        found = await hypervisor.find(ID)
        assert found is not None
        assert found.state is DomainState.RUNNING
        domain = await hypervisor.pause(ID, mark(generation=2))
        assert domain.state is DomainState.STOPPED, "it had crashed before"
    assert check_journals(tmp_path) == []


@contextmanager
def no_room(path: Path, free_bytes: int) -> Iterator[None]:
    """Let this process's files not grow beyond this one's size and some bytes more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + free_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("free_bytes", [0, 1, 60, 110])
async def test_without_room_on_the_disk_nothing_changes_and_all_is_told(
    driver: Driver, spec: Spec, mark: Mark, tmp_path: Path, free_bytes: int
) -> None:
    at_once = Behaviour(shutdown_seconds=0.0)
    async with driver(behaviour=at_once) as hypervisor, driver() as other:
        before = await hypervisor.start(spec())
        with no_room(tmp_path / "host-1" / "journal.1.jsonl", free_bytes):
            for _ in range(3):
                with pytest.raises(HypervisorUnavailable, match="Cannot write to the simulated"):
                    await hypervisor.pause(ID, mark(generation=2))
            assert await hypervisor.find(ID) == before
            assert await other.find(ID) == before
        domain = await hypervisor.pause(ID, mark(generation=2))
        assert domain.state is DomainState.PAUSED
        assert await other.find(ID) == domain
    assert check_journals(tmp_path) == []


async def test_a_guest_shuts_down_even_where_that_cannot_be_written(
    driver: Driver, spec: Spec, mark: Mark, tmp_path: Path
) -> None:
    path = tmp_path / "host-1" / "journal.1.jsonl"
    async with driver(behaviour=Behaviour(shutdown_seconds=0.05)) as hypervisor:
        await hypervisor.start(spec())
        await hypervisor.shutdown(ID, mark(stopping=True))
        with no_room(path, 0):
            await asyncio.sleep(0.06)
            found = await hypervisor.find(ID)
            assert found is not None
            assert found.state is DomainState.STOPPED
            with pytest.raises(HypervisorUnavailable):
                await hypervisor.start(spec())
        assert (await hypervisor.start(spec())).state is DomainState.RUNNING
    assert check_journals(tmp_path) == []
