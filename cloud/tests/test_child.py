from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from eventually import eventually

from stratuslab.cloud import child as child_module
from stratuslab.cloud.child import Child, described
from stratuslab.cloud.processes import Program

RUN = "import time; print('words', flush=True); time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('words', flush=True); time.sleep(60)"
)
SERVE = """
import sys, http.server, pathlib
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ready = pathlib.Path(sys.argv[2]).exists()
        self.send_response(200 if ready else 503); self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
pathlib.Path(sys.argv[1]).write_text(f"http://127.0.0.1:{server.server_port}")
server.serve_forever()
"""

LISTEN = """
import sys, socket, pathlib, time
listening = socket.socket(socket.AF_UNIX); listening.bind(sys.argv[1])
while not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.01)
listening.listen(); time.sleep(60)
"""


class Keeper:
    """Runs children for a test and stops them at its end."""

    def __init__(self, folder: Path, tasks: asyncio.TaskGroup, session: aiohttp.ClientSession):
        self.told: list[str] = []
        self.changes = 0
        self._folder, self._tasks, self._session = folder, tasks, session
        self.children: list[Child] = []

    def __call__(self, *argv: str, **options: object) -> Child:
        program = Program("toy", (sys.executable, "-S", "-c", *argv), dict(os.environ), **options)  # type: ignore[arg-type]
        child = Child(
            program, self._folder, self._session, changed=self._changed, tell=self.told.append
        )
        self._tasks.create_task(child.run())
        self.children.append(child)
        return child

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
async def keep(tmp_path: Path) -> AsyncIterator[Keeper]:
    @asynccontextmanager
    async def kept() -> AsyncIterator[Keeper]:
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            keeper = Keeper(tmp_path, tasks, session)
            yield keeper
            await asyncio.gather(*(child.stop(0.5) for child in keeper.children))

    async with kept() as keeper:
        yield keeper


async def test_a_child_that_is_killed_is_started_again_and_counted(keep: Keeper) -> None:
    child = keep(RUN)
    await eventually(lambda: child.status.ready)
    first = child.status.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: child.status.pid not in (None, first))
    assert child.status.restarts == 1
    assert child.status.last_exit == -signal.SIGKILL
    assert keep.told[0].startswith("toy was killed by SIGKILL; starting it again in 0.")


async def test_a_child_that_cannot_run_is_tried_ever_more_rarely(
    keep: Keeper, tmp_path: Path
) -> None:
    refusing = "import sys; print('no such thing', flush=True); sys.exit(2)"
    child = keep(refusing, ops_file=tmp_path / "toy.ops")
    await eventually(lambda: child.status.restarts >= 3)
    assert child.refused.is_set()
    assert child.last_words() == "no such thing"
    pauses = [float(each.split(" in ")[1].split()[0]) for each in keep.told]
    assert pauses[2] >= 0.4


async def test_a_program_that_is_not_there_is_no_end_of_the_supervisor(
    keep: Keeper, tmp_path: Path
) -> None:
    child = keep("pass")
    missing = Program("gone", (str(tmp_path / "nowhere"),), {})
    child.program = missing
    await eventually(lambda: any("could not be started" in each for each in keep.told))
    assert child.status.pid is None


async def test_a_child_is_ready_when_its_health_says_so(keep: Keeper, tmp_path: Path) -> None:
    ops, flag = tmp_path / "toy.ops", tmp_path / "flag"
    ops.write_text("http://127.0.0.1:1")  # of an earlier life
    child = keep(SERVE, str(ops), str(flag), ops_file=ops)
    await eventually(lambda: child.status.ops_url and child.status.state == "running")
    assert not child.status.ready
    flag.touch()
    await eventually(lambda: child.status.ready)
    assert child.status.ops_url == ops.read_text()


async def test_a_child_is_ready_when_its_socket_accepts(keep: Keeper, tmp_path: Path) -> None:
    path = tmp_path / "toy.sock"
    child = keep(LISTEN, str(path), str(tmp_path / "flag"), socket=path)
    await eventually(lambda: path.exists())
    assert not child.status.ready
    (tmp_path / "flag").touch()
    await eventually(lambda: child.status.ready)


async def test_a_child_that_waits_for_nothing_is_stopped_at_once(keep: Keeper) -> None:
    child = keep(RUN)
    await eventually(lambda: child.status.ready)
    await child.stop(5)
    await eventually(lambda: child.status.state == "stopped")
    assert child.status.last_exit == -signal.SIGTERM
    assert child.status.restarts == 0


async def test_a_child_that_does_not_listen_is_killed(keep: Keeper) -> None:
    child = keep(STUBBORN)
    await eventually(lambda: child.last_words() == "words")
    await child.stop(0.1)
    await eventually(lambda: child.status.state == "stopped")
    assert child.status.last_exit == -signal.SIGKILL
    assert keep.told == ["toy did not end in 0.1 s."]


async def test_stopping_does_not_wait_for_the_pause(
    keep: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stratuslab.cloud.restarts.FIRST_PAUSE_SECONDS", 60.0)
    monkeypatch.setattr("stratuslab.cloud.restarts.LONGEST_PAUSE_SECONDS", 60.0)
    child = keep("raise SystemExit(1)")
    await eventually(lambda: child.status.state == "backing-off")
    await child.stop(1)
    await eventually(lambda: child.status.state == "stopped")


def test_ends_are_told_in_words() -> None:
    assert described(3) == "ended with status 3"
    assert described(-11) == "was killed by SIGSEGV"
    assert child_module.WRONG_CONFIGURATION == 2
