"""The files that hold a simulated host's journal: reading what is new, appending one line.

Owns `<folder>/<host>/journal.<number>.jsonl`, of which the highest number is in use, their
rotation, and the state read so far. It must not know what a hypervisor may do: callers bring that
as a `Decision`.

Any number of processes may be at it, without locks, so that nobody waits for a process that was
stopped or killed. An append is one `write()` to the end of the file; where the file had grown
meanwhile, the writer reads on, learns whether its line counted (see `journal`), and decides anew
if not. A file beyond `limit_bytes`, most of it of no more use, is rotated: a `closed` line ends
it, and whoever meets that line links the file with the next number, unless somebody else has;
its content follows from the closed one. The file before is kept for checkers; in place of those
before that one lies a line for the latecomer who still has to learn that they are closed.

Nothing is synced to disk: the journal stands for the memory and disks of a host, and must
outlive processes, not power cuts. The folder must be on a local file system.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
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
_KEPT_GRAVES: Final = 64
_GRAVE: Final = encode(Happening(sequence=1, event=Event.CLOSED))


class JournalFile:
    """An open journal and the state that its lines add up to.

    `on_happening` is called with every line that counted, whoever wrote it. Methods raise
    `HypervisorUnavailable` when the files cannot be read or written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        create: bool,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        on_happening: Callable[[Happening], None] | None = None,
    ) -> None:
        self.state = HostState()
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._on_happening = on_happening
        self._pid = os.getpid()
        self._offset = 0  # up to here lines were read
        self._size = 0  # as last seen; beyond the offset there is a line without an end
        with _naming(folder, "open"):
            if create:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            numbers = journal_numbers(folder)
            self._number = numbers[-1] if numbers else 1
            self._file = self._open(os.O_CREAT if create and not numbers else 0)

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
            f"The simulated host's journal in {self._folder} is written so busily by other "
            f"processes that {_ATTEMPTS} attempts to append to it came too late."
        )

    def look(self) -> HostState:
        """The state now. Shutdowns that are due are written down, if the disk has room for that."""
        self._read_on()
        with contextlib.suppress(HypervisorUnavailable):
            self._write_ends()
        return self.state

    def _open(self, flags: int = 0) -> int:
        path = journal_path(self._folder, self._number)
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | flags, 0o600)

    def _read_on(self) -> None:
        while True:
            status = os.fstat(self._file)
            if status.st_size != self._size:
                self._read_lines(status.st_size)
            if not self.state.closed and status.st_nlink > 0:
                return
            self._follow()

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
            with _naming(self._folder, "read"):
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
        with _naming(self._folder, "write to"):
            written = os.write(self._file, data)
        end = os.lseek(self._file, 0, os.SEEK_CUR)
        if written < len(data):
            raise _unavailable(self._folder, "write to", "there is no space left")
        if torn or end - written != self._size:
            counted = self._read_lines(end, mine=line[:-1])
        else:
            self._offset = self._size = end
            self.state.apply(happening)
            self._tell(happening)
            counted = True
        if counted and end > self._limit_bytes:
            self._close_if_mostly_garbage()
        return counted

    def _write_ends(self) -> None:
        while (end := self.state.next_end()) is not None and end[0] <= time.time():
            self._append(Happening(event=Event.STOPPED, id=end[1], reason=StopReason.REQUESTED))
            if self.state.closed:
                self._read_on()

    def _tell(self, happening: Happening) -> None:
        if self._on_happening is not None:
            self._on_happening(happening)

    def _close_if_mostly_garbage(self) -> None:
        """End this file; the next look goes on in the next one."""
        live_bytes = _COMPACTED_DOMAIN_BYTES * len(self.state.domains)
        if not self.state.closed and 2 * live_bytes < self._size:
            with contextlib.suppress(HypervisorUnavailable):
                self._append(Happening(event=Event.CLOSED))

    def _follow(self) -> None:
        """Go on in the file that is in use instead of this one; make it if nobody else has."""
        with _naming(self._folder, "rotate"):
            numbers = journal_numbers(self._folder)
            if not numbers:
                raise FileNotFoundError(self._folder)
            if self.state.closed and numbers[-1] == self._number:
                self._link_next()
            else:
                self._number = numbers[-1]
            successor = self._open()
        self.close()
        self._file = successor
        known, self.state = self.state.sequence, HostState()
        self._offset = self._size = 0
        on_happening, self._on_happening = self._on_happening, None
        try:
            self._read_lines(os.fstat(self._file).st_size)
        finally:
            self._on_happening = on_happening
        if self.state.sequence != known:
            self._tell(self.state.compacted())

    def _link_next(self) -> None:
        new = self._folder / f"journal.{uuid.uuid4().hex}.new"
        try:
            new.write_bytes(encode(self.state.compacted()))
            with contextlib.suppress(FileExistsError):
                journal_path(self._folder, self._number + 1).hardlink_to(new)
            if self._number > 1:
                new.unlink()
                new.write_bytes(_GRAVE)
                new.replace(journal_path(self._folder, self._number - 1))
        finally:
            new.unlink(missing_ok=True)
        journal_path(self._folder, self._number - _KEPT_GRAVES).unlink(missing_ok=True)
        self._number += 1


def journal_path(folder: Path, number: int) -> Path:
    """The file of this number."""
    return folder / f"journal.{number}.jsonl"


def journal_numbers(folder: Path) -> list[int]:
    """The numbers of the files there are, the last in use. Raises OSError."""
    names = (path.name.split(".") for path in folder.iterdir())
    return sorted(
        int(parts[1])
        for parts in names
        if len(parts) == 3 and parts[0] == "journal" and parts[2] == "jsonl" and parts[1].isdigit()
    )


def host_folder(folder: Path, host: str) -> Path:
    """Where a host's journal lies. Raises `ConfigurationError` for a name unfit for a folder."""
    if not host or host.startswith(".") or "/" in host or "\0" in host or len(host) > 200:
        raise ConfigurationError(
            f"{host!r} cannot be the name of a simulated host.",
            hint="Use letters, digits, dots and dashes.",
        )
    return folder / host


@contextlib.contextmanager
def _naming(folder: Path, action: str) -> Iterator[None]:
    """Tell what could not be done with whose journal."""
    try:
        yield
    except FileNotFoundError as error:
        raise HypervisorUnavailable(
            f"There is no simulated host: no journal in {folder}.",
            hint="A host comes into being when its agent first connects to it.",
        ) from error
    except OSError as error:
        raise _unavailable(folder, action, error.strerror or str(error)) from error


def _unavailable(folder: Path, action: str, why: str) -> HypervisorUnavailable:
    return HypervisorUnavailable(
        f"Cannot {action} the simulated host's journal in {folder}: {why}.",
        hint="Mend that and try again.",
    )
