from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stratuslab.cloud import leftovers

OBEDIENT = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {OBEDIENT}"


class Left:
    """Processes as a supervisor of some data folder would have started them."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[str]] = []

    def __call__(self, data: Path, name: str, program: str = OBEDIENT) -> int:
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", program],
            env={**os.environ, **leftovers.marked(data, name)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        self.processes.append(process)
        return process.pid

    def exit_of(self, pid: int) -> int:
        return next(each for each in self.processes if each.pid == pid).wait(10)


@pytest.fixture
def leave() -> Iterator[Left]:
    left = Left()
    yield left
    for process in left.processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_only_processes_of_this_data_folder_are_found(tmp_path: Path, leave: Left) -> None:
    ours = leave(tmp_path, "store")
    leave(tmp_path / "other", "store")
    assert leftovers.find(tmp_path) == {ours: "store"}


async def test_they_are_ended_and_named(tmp_path: Path, leave: Left) -> None:
    obedient = leave(tmp_path, "store")
    stranger = leave(tmp_path / "other", "store")
    assert await leftovers.end(tmp_path) == ["store"]
    assert leave.exit_of(obedient) == -signal.SIGTERM
    assert leftovers.find(tmp_path / "other") == {stranger: "store"}


async def test_those_that_do_not_listen_are_killed(
    tmp_path: Path, leave: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "TERM_SECONDS", 0.2)
    stubborn = leave(tmp_path, "vm-agent", STUBBORN)
    assert await leftovers.end(tmp_path) == ["vm-agent"]
    assert leave.exit_of(stubborn) == -signal.SIGKILL


async def test_some_get_no_chance_to_do_more(tmp_path: Path, leave: Left) -> None:
    at_once = leave(tmp_path, "libvirt")
    assert await leftovers.end(tmp_path, at_once=frozenset({"libvirt"})) == ["libvirt"]
    assert leave.exit_of(at_once) == -signal.SIGKILL


async def test_nothing_left_is_nothing_to_do(tmp_path: Path) -> None:
    began = time.monotonic()
    assert await leftovers.end(tmp_path) == []
    assert time.monotonic() - began < 1
