from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stratuslab.cloud.folder_lock import FolderLock, holder_of
from stratuslab.core.errors import ConfigurationError

HOLD = """
import sys; from pathlib import Path; from stratuslab.cloud.folder_lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True); sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run" / "supervisor.lock"


def test_the_lock_names_its_holder_and_ends_with_it(lock: Path) -> None:
    assert holder_of(lock) is None
    with FolderLock(lock):
        assert holder_of(lock) == os.getpid()
    assert holder_of(lock) is None


def test_a_second_process_is_refused_by_name_until_the_first_is_killed(lock: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout is not None
    assert first.stdin is not None
    try:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(ConfigurationError, match=f"already runs in .*process {first.pid}"):
            FolderLock(lock).__enter__()
        assert holder_of(lock) == first.pid
    finally:
        first.kill()
        first.wait()
        first.stdin.close()
        first.stdout.close()
    with FolderLock(lock):
        assert holder_of(lock) == os.getpid()


def test_looking_at_the_lock_does_not_keep_others_from_it(lock: Path) -> None:
    with FolderLock(lock):
        pass
    with lock.open() as looking:
        import fcntl
        import threading

        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.1, looking.close).start()
        with FolderLock(lock):
            assert holder_of(lock) == os.getpid()
