"""Backups of a living store, and stores that were put back in time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from contract.store.samples import PAPER, paper

from stratuslab.core.contracts.messages import Event
from stratuslab.core.errors import ConfigurationError, Conflict
from stratuslab.core.store.base import Query
from stratuslab.core.store.sqlite import SqliteOwner, SqliteStore
from stratuslab.core.store.sqlite.restore import (
    SKIPPED_NUMBERS,
    SKIPPED_SEQUENCE,
    back_up,
    raise_epoch,
    read_marks,
)


async def test_a_restored_store_never_repeats_itself(tmp_path: Path) -> None:
    folder, backup = tmp_path / "store", tmp_path / "backup.db"
    async with SqliteOwner(folder), SqliteStore(folder) as store:
        event = Event("test.paper.written", "test-paper/a", {})
        was = await store.insert(paper("a", "before"), events=[event])
        await store.counter("vmid", 10)
        [waiting] = await store.outbox()
        back_up(folder, backup)
        assert backup.stat().st_mode & 0o777 == 0o600
        lost = await store.replace(was, paper("a", "after"))
        await store.counter("vmid", 10)
        await store.counter("new")
        before = await store.identity()

    seen = read_marks(folder)
    assert (seen.sequence, seen.counters) == (2, {"vmid": 21, "new": 2})
    for file in folder.glob("store.db*"):
        file.unlink()
    shutil.copy(backup, folder / "store.db")
    marks = raise_epoch(folder, seen)
    assert marks.epoch == before.epoch + 1

    async with SqliteOwner(folder), SqliteStore(folder) as store:
        restored = await store.get(PAPER, "a")
        assert (restored.document.name, restored.rev) == ("before", was.rev)
        after = await store.identity()
        assert after.cloud_id == before.cloud_id
        assert (after.epoch, after.sequence) > (before.epoch, before.sequence)
        assert await store.outbox() == [waiting]
        again = await store.replace(restored, paper("a", "again"))
        assert again.rev not in {was.rev, lost.rev}
        with pytest.raises(Conflict):
            await store.replace(lost, paper("a", "from before the fall"))
        assert await store.counter("vmid") == 21
        assert await store.counter("new") == 2


async def test_without_marks_everything_is_skipped_generously(tmp_path: Path) -> None:
    async with SqliteOwner(tmp_path), SqliteStore(tmp_path) as store:
        await store.insert(paper("a"))
        await store.counter("vmid")
    marks = raise_epoch(tmp_path, None)
    assert marks.epoch == 2
    assert marks.sequence == 1 + SKIPPED_SEQUENCE
    assert marks.counters == {"vmid": 2 + SKIPPED_NUMBERS}
    async with SqliteOwner(tmp_path), SqliteStore(tmp_path) as store:
        watching = store.watch()
        written = await store.insert(paper("b"))
        assert int(written.rev) == 2 + SKIPPED_SEQUENCE
        assert (await anext(watching)).id == "b"


async def test_marks_of_another_cloud_are_refused(tmp_path: Path) -> None:
    for name in ("one", "other"):
        async with SqliteOwner(tmp_path / name):
            pass
    with pytest.raises(ConfigurationError, match="another cloud"):
        raise_epoch(tmp_path / "one", read_marks(tmp_path / "other"))
    assert read_marks(tmp_path / "one").epoch == 1


async def test_a_store_that_is_served_or_missing_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    async with SqliteOwner(folder):
        with pytest.raises(ConfigurationError, match="already served"):
            raise_epoch(folder, None)
    for missing in (tmp_path / "none", tmp_path):
        with pytest.raises(ConfigurationError):
            read_marks(missing)
        with pytest.raises(ConfigurationError):
            back_up(missing, tmp_path / "copy.db")
        assert not (tmp_path / "copy.db").exists()
        with pytest.raises(ConfigurationError, match="no database"):
            raise_epoch(missing, None)
    (tmp_path / "copy.db").write_text("mine")
    with pytest.raises(ConfigurationError, match="File exists"):
        back_up(folder, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "mine"


async def test_a_backup_is_whole_while_others_write(tmp_path: Path) -> None:
    folder, copy = tmp_path / "store", tmp_path / "copy"
    async with SqliteOwner(folder), SqliteStore(folder) as store:
        for number in range(20):
            await store.insert(paper(str(number)))
        copy.mkdir()
        back_up(folder, copy / "store.db")
        await store.insert(paper("later"))
    async with SqliteOwner(copy), SqliteStore(copy) as store:
        assert await store.count(Query(PAPER)) == 20
