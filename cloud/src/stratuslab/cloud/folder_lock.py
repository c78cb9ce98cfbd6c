"""One supervisor for each data folder: a lock that ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from stratuslab.core.errors import ConfigurationError

PATIENCE_SECONDS = 0.5
"""Somebody may just be looking whether the lock is held, which takes it for a moment."""


class FolderLock:
    """Held inside `with`. The file holds the pid of the last holder.

    Raises ConfigurationError, naming the holder, when another process has it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._file = self._path.open("a+")
        end = time.monotonic() + PATIENCE_SECONDS
        while not _taken(self._file.fileno(), fcntl.LOCK_EX):
            if time.monotonic() > end:
                holder = holder_of(self._path)
                self._file.close()
                raise ConfigurationError(
                    f"A cloud already runs in {self._path.parent.parent} (process {holder}).",
                    hint="`stratuslab status` shows it, `stratuslab down` ends it; a second cloud "
                    "needs another --data and --port.",
                )
            time.sleep(0.02)
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


def holder_of(path: Path) -> int | None:
    """The process that holds the lock, None when nobody does."""
    try:
        with path.open("r") as file:
            if _taken(file.fileno(), fcntl.LOCK_SH):
                return None
            return int(file.read().strip() or 0)
    except (OSError, ValueError):
        return None


def _taken(descriptor: int, kind: int) -> bool:
    """Tries to take the lock; it is given back when the descriptor is closed."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
