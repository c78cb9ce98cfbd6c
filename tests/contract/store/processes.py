"""Store owners in processes of their own, which tests may kill."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

TESTS = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("owner_process.py")


class OwnerProcess:
    """`owner_process.py` in a process; use as `with`."""

    def __enter__(self) -> Self:
        environment = {**os.environ, "PYTHONPATH": str(TESTS)}
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def open(self, folder: Path) -> None:
        """Makes it own the store in the folder."""
        answer = self.order(f"open {folder}")
        assert answer == "ready", answer

    def close(self, folder: Path) -> None:
        """Makes it give up the store in the folder."""
        answer = self.order(f"close {folder}")
        assert answer == "closed", answer

    def order(self, line: str) -> str:
        """Its answer to a line of input."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()
        readable, _, _ = select.select([self._process.stdout], [], [], 30)
        assert readable, "the owner process does not answer"
        return self._process.stdout.readline().decode().strip()

    def kill(self) -> None:
        """Ends it at once, without warning."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
