"""The files of a store folder, and how connections to its database are opened.

`store.db` (with `-wal` and `-shm`) is the database, `store.sock` where the owner answers,
`store.lock` what makes it the only one. The folder belongs to one user, nobody else may look in.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from stratuslab.core.errors import ConfigurationError

DATABASE = "store.db"
SOCKET = "store.sock"
LOCK = "store.lock"

APPLICATION_ID = 0x53744C62
WAL_LIMIT_BYTES = 64 * 1024 * 1024
"""What the write-ahead log is cut back to when it has grown longer."""
CHECKPOINT_PAGES = 4000
"""Fewer checkpoints write hot pages less often; up to 4062 the log's index has one part."""
STATEMENTS_KEPT = 512
BUSY_MILLISECONDS = 10_000
LONGEST_ADDRESS = 100


def open_for_writing(folder: Path, page_limit: int | None) -> apsw.Connection:
    """The one writing connection, in write-ahead mode, each commit flushed to the disk.

    Raises apsw.Error. `page_limit` bounds the file, in pages of 4 KiB.
    """
    path = folder / DATABASE
    if not path.exists():
        # Only when new: closing a file drops this process's locks on it, readers' included.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = apsw.Connection(
        str(path),
        flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE,
        statementcachesize=STATEMENTS_KEPT,
    )
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "mmap_size=0",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
        f"journal_size_limit={WAL_LIMIT_BYTES}",
        "cache_size=-16000",
        *(() if page_limit is None else (f"max_page_count={page_limit}",)),
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def open_for_reading(folder: Path) -> apsw.Connection:
    """A connection that can only read. Raises apsw.Error."""
    connection = apsw.Connection(
        str(folder / DATABASE),
        flags=apsw.SQLITE_OPEN_READONLY,
        statementcachesize=STATEMENTS_KEPT,
    )
    connection.set_busy_timeout(2_000)
    for pragma in ("query_only=1", "mmap_size=0", "cache_size=-4000"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


class FolderLock:
    """The right to own the store in a folder; the system gives it back when the process dies."""

    def __init__(self, folder: Path) -> None:
        """Takes it. Raises ConfigurationError when another process has it or on no access."""
        path = folder / LOCK
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"The document store's folder {folder} cannot be written: {error.strerror}.",
                hint="Give the folder to the user that runs the cloud, or choose another.",
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self._file, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise ConfigurationError(
                f"The document store in {folder} is already served by process {owner}.",
                hint="A store has one owner. Stop that cloud, or choose another data folder.",
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Gives it back. The file stays: removing it would let two processes lock two files."""
        os.close(self._file)


@contextmanager
def socket_address(folder: Path) -> Iterator[str]:
    """The socket's address, usable inside the block whatever the folder's length.

    The system takes at most 107 bytes; a longer path goes by an open folder.
    """
    path = str(folder / SOCKET)
    if len(os.fsencode(path)) <= LONGEST_ADDRESS:
        yield path
        return
    opened = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{opened}/{SOCKET}"
    finally:
        os.close(opened)


def listening_socket(folder: Path) -> socket.socket:
    """The owner's socket, for this user alone. Raises OSError. Only with the folder's lock."""
    (folder / SOCKET).unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket_address(folder) as address:
            before = os.umask(0o177)
            try:
                listening.bind(address)
            finally:
                os.umask(before)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening
