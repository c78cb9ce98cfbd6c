"""A disk that fails while a commit is being flushed: nobody is told what nobody knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from contract.store.samples import PAPER, paper

from stratuslab.core.errors import Ambiguous, ConfigurationError, Unavailable
from stratuslab.core.store.sqlite import SqliteOwner, SqliteStore


class Disk(apsw.VFS):
    """SQLite's own file access, that fails when told to."""

    def __init__(self) -> None:
        super().__init__("failing-disk", "unix", makedefault=True)
        self.fails_to_flush = False
        self.fails_to_write = False

    def xOpen(self, name: object, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return File(self, name, flags)


class File(apsw.VFSFile):
    """A file on that disk."""

    def __init__(self, disk: Disk, name: object, flags: list[int]) -> None:
        super().__init__("unix", name, flags)  # type: ignore[arg-type]
        self._disk = disk

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._disk.fails_to_flush:
            raise _failure(apsw.SQLITE_IOERR_FSYNC)
        super().xSync(flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if self._disk.fails_to_write:
            raise _failure(apsw.SQLITE_IOERR_WRITE)
        super().xWrite(data, offset)


def _failure(extended: int) -> apsw.IOError:
    error = apsw.IOError("the disk fails")
    error.extendedresult = extended  # type: ignore[attr-defined]
    return error


@pytest.fixture
def disk() -> Iterator[Disk]:
    """All databases are on this disk."""
    disk = Disk()
    yield disk
    disk.unregister()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_flush_that_fails_is_ambiguous_and_ends_the_owner(
    disk: Disk, tmp_path: Path
) -> None:
    with pytest.raises(BaseExceptionGroup) as ended:
        async with SqliteOwner(tmp_path), SqliteStore(tmp_path) as store:
            await store.insert(paper("a", "safe"))
            disk.fails_to_flush = True
            with pytest.raises(Ambiguous, match="disk failed"):
                await store.insert(paper("b", "who knows"))
            await store.insert(paper("c", "never"))
    assert ended.group_contains(ConfigurationError, match="must be started again")
    disk.fails_to_flush = False

    async with SqliteOwner(tmp_path), SqliteStore(tmp_path) as store:
        assert (await store.get(PAPER, "a")).document.name == "safe"
        assert await store.find(PAPER, "c") is None
        await store.insert(paper("d"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_write_that_fails_is_unavailable_until_it_works_again(
    disk: Disk, tmp_path: Path
) -> None:
    async with SqliteOwner(tmp_path), SqliteStore(tmp_path) as store:
        was = await store.insert(paper("a", "safe"))
        disk.fails_to_write = True
        for _ in range(2):
            with pytest.raises(Unavailable, match="cannot write"):
                await store.replace(was, paper("a", "lost"))
        assert (await store.get(PAPER, "a")).rev == was.rev
        disk.fails_to_write = False
        was = await store.replace(was, paper("a", "again"))
        assert was.rev == "2"
    async with SqliteOwner(tmp_path), SqliteStore(tmp_path) as store:
        assert (await store.get(PAPER, "a")).document.name == "again"
