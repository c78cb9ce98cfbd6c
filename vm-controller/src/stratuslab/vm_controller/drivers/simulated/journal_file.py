"""The file that holds a simulated host's journal: reading what is new, appending one line.

Owns the file `<folder>/<host>/journal.jsonl`, its rotation to `journal.1` and the state read so
far. It must not know what a hypervisor may do: callers bring that as a `Decision`.

Any number of processes may have the file open. An append is one `write()` to the end of the
file; where the file had grown meanwhile, the writer reads on, learns whether its line counted
(see `journal`), and decides anew if not. Nobody ever waits for a process that was stopped. Only
rotation, once per `limit_bytes`, takes a lock. The folder must be on a local file system.

Nothing is synced to disk: the journal stands for the memory and disks of a host, and must
outlive processes, not power cuts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from stratuslab.core.errors import ConfigurationError
from stratuslab.vm_controller.drivers.base import HypervisorUnavailable, StopReason
from stratuslab.vm_controller.drivers.simulated.journal import Event, Happening, HostState, encode

DEFAULT_LIMIT_BYTES: Final = 64 * 1024 * 1024

Decision = Callable[[HostState], Happening | None]
"""Says what is to happen, seeing the newest state; None where nothing needs to."""

_READ_BYTES: Final = 4 * 1024 * 1024
_ATTEMPTS: Final = 10_000
_COMPACTED_DOMAIN_BYTES: Final = 600


class JournalBusy(Exception):
    """Another process is rotating the journal: try again in a millisecond."""


class JournalFile:
    """An open journal and the state that its lines add up to.

    `on_happening` is called with every line that counted, whoever wrote it. Methods raise
    `HypervisorUnavailable` when the file cannot be read or written, and `JournalBusy`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        create: bool,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        on_happening: Callable[[Happening], None] | None = None,
    ) -> None:
        self.path = folder / "journal.jsonl"
        self.state = HostState()
        self._limit_bytes = limit_bytes
        self._on_happening = on_happening
        self._pid = os.getpid()
        self._offset = 0  # up to here lines were read
        self._size = 0  # as last seen; beyond the offset there is a line without an end
        if create:
            with _naming(self.path, "open"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = self._open(os.O_CREAT if create else 0)

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def record(self, decide: Decision) -> HostState:
        """Make happen what `decide` says, unless that is nothing; the state afterwards."""
        for _ in range(_ATTEMPTS):
            self._read_on()
            self._write_ends()
            happening = decide(self.state)
            if happening is None or self._append(happening):
                return self.state
        raise HypervisorUnavailable(
            f"The simulated host's journal {self.path} is written so busily by other processes "
            f"that {_ATTEMPTS} attempts to append to it came too late."
        )

    def look(self) -> HostState:
        """The state now. Shutdowns that are due are written down, if the disk has room for that."""
        self._read_on()
        with contextlib.suppress(HypervisorUnavailable):
            self._write_ends()
        return self.state

    def _write_ends(self) -> None:
        while (end := self.state.next_end()) is not None and end[0] <= time.time():
            self._append(Happening(event=Event.STOPPED, id=end[1], reason=StopReason.REQUESTED))

    def _open(self, flags: int) -> int:
        with _naming(self.path, "open"):
            return os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | flags, 0o600)

    def _read_on(self) -> None:
        status = os.fstat(self._file)
        if status.st_size != self._size:
            self._read_lines(status.st_size)
        if self.state.closed or status.st_nlink == 0:
            self._follow_rotation()

    def _read_lines(self, size: int, mine: bytes | None = None) -> bool:
        """Read to the end of the last full line; whether `mine` was among the lines that count."""
        counted = False
        self._size = size
        while (data := self._read_block()) is not None:
            for line in data.split(b"\n"):
                happening = self.state.feed(line) if line else None
                if happening is not None:
                    counted = counted or line == mine
                    self._tell(happening)
        return counted

    def _read_block(self) -> bytes | None:
        """Some full lines, None where there is no further one."""
        block_bytes = _READ_BYTES
        while self._offset < self._size:
            with _naming(self.path, "read"):
                data = os.pread(self._file, block_bytes, self._offset)
            end = data.rfind(b"\n")
            if end >= 0:
                self._offset += end + 1
                self._size = max(self._size, self._offset)
                return data[:end]
            if len(data) < block_bytes:
                return None
            block_bytes *= 2
        return None

    def _append(self, happening: Happening) -> bool:
        """Whether the line was written and counts."""
        happening.sequence = self.state.sequence + 1
        happening.at = max(time.time(), self.state.at)
        happening.pid = self._pid
        line = encode(happening)
        torn = self._size > self._offset
        data = b"\n" + line if torn else line
        with _naming(self.path, "write to"):
            written = os.write(self._file, data)
        end = os.lseek(self._file, 0, os.SEEK_CUR)
        if written < len(data):
            raise _unavailable(self.path, "write to", "there is no space left")
        if torn or end - written != self._size:
            counted = self._read_lines(end, mine=line[:-1])
        else:
            self._offset = self._size = end
            self.state.apply(happening)
            self._tell(happening)
            counted = True
        if counted and end > self._limit_bytes:
            self._compact()
        return counted

    def _tell(self, happening: Happening) -> None:
        if self._on_happening is not None:
            self._on_happening(happening)

    def _compact(self) -> None:
        """Rotate, where most of the file is of no more use and nobody else is at it."""
        live_bytes = _COMPACTED_DOMAIN_BYTES * len(self.state.domains)
        if self.state.closed or 2 * live_bytes > self._size:
            return
        with contextlib.suppress(JournalBusy, HypervisorUnavailable), self._rotating():
            if self._is_current():
                self._write_next(self.state.sequence + 1)
                if self._append(Happening(event=Event.CLOSED)):
                    self._rename_next()

    def _follow_rotation(self) -> None:
        """Go on in the file that followed the closed one; finish a rotation that was cut short."""
        if self.state.closed and self._is_current():
            with self._rotating():
                if self._is_current():
                    self._write_next(self.state.sequence)
                    self._rename_next()
        known = self.state.sequence
        successor = self._open(0)
        self.close()
        self._file = successor
        self.state = HostState()
        self._offset = self._size = 0
        on_happening, self._on_happening = self._on_happening, None
        try:
            self._read_on()
        finally:
            self._on_happening = on_happening
        if self.state.sequence != known:
            self._tell(self.state.compacted())

    def _is_current(self) -> bool:
        try:
            named = self.path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(self._file)
        return (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino)

    @contextlib.contextmanager
    def _rotating(self) -> Iterator[None]:
        with _naming(self.path, "rotate"):
            lock = os.open(self.path.with_name("rotation.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as busy:
                raise JournalBusy from busy
            with _naming(self.path, "rotate"):
                yield
        finally:
            os.close(lock)

    def _write_next(self, sequence: int) -> None:
        first = self.state.compacted()
        first.sequence = sequence
        self.path.with_name("journal.next").write_bytes(encode(first))

    def _rename_next(self) -> None:
        rotated = self.path.with_name("journal.1")
        rotated.unlink(missing_ok=True)
        rotated.hardlink_to(self.path)
        self.path.with_name("journal.next").replace(self.path)


@contextlib.contextmanager
def _naming(path: Path, action: str) -> Iterator[None]:
    """Tell what could not be done with which file."""
    try:
        yield
    except FileNotFoundError as error:
        raise HypervisorUnavailable(
            f"There is no simulated host: {path} does not exist.",
            hint="A host comes into being when its agent first connects to it.",
        ) from error
    except OSError as error:
        raise _unavailable(path, action, error.strerror or str(error)) from error


def _unavailable(path: Path, action: str, why: str) -> HypervisorUnavailable:
    return HypervisorUnavailable(
        f"Cannot {action} the simulated host's journal {path}: {why}.",
        hint="Mend that and try again.",
    )


def host_folder(folder: Path, host: str) -> Path:
    """Where a host's journal lies. Raises `ConfigurationError` for a name unfit for a folder."""
    if not host or host.startswith(".") or "/" in host or "\0" in host or len(host) > 200:
        raise ConfigurationError(
            f"{host!r} cannot be the name of a simulated host.",
            hint="Use letters, digits, dots and dashes.",
        )
    return folder / host
