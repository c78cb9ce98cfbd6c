"""What a store may forget, and what must not grow: expired rows, the change log, the WAL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest
from contract.store.processes import OwnerProcess
from contract.store.samples import NOTE, PAPER, Note, paper
from eventually import eventually

from stratuslab.core.contracts.messages import Event
from stratuslab.core.errors import Unavailable
from stratuslab.core.store.base import Insert, Query, Replace, Store
from stratuslab.core.store.memory import MemoryStore
from stratuslab.core.store.sqlite import SqliteOwner, SqliteStore
from stratuslab.core.store.sqlite.files import WAL_LIMIT_BYTES
from stratuslab.core.store.sqlite.writer import PRUNED_AT_ONCE


def rows(folder: Path, table: str) -> int:
    """How many rows really are in a table of the file."""
    connection = apsw.Connection(str(folder / "store.db"))
    try:
        [[count]] = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
        return int(str(count))
    finally:
        connection.close()


async def test_an_idle_owner_removes_what_has_expired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stratuslab.core.store.sqlite.owner.IDLE_SECONDS", 0.05)
    async with SqliteOwner(tmp_path), SqliteStore(tmp_path) as store:
        for number in range(5):
            one = paper(str(number), owner="user/ann")
            await store.insert(one, ttl_seconds=0.1 if number else None)
        await eventually(lambda: rows(tmp_path, "kind_test_paper") == 1)
        assert rows(tmp_path, "readers_test_paper") == 1
        changes = await store.changes(5)
        assert {each.operation for each in changes} == {"remove"}
        assert sorted(each.id for each in changes) == ["1", "2", "3", "4"]


async def test_an_owner_finds_what_expired_while_none_was_there(tmp_path: Path) -> None:
    async with SqliteOwner(tmp_path), SqliteStore(tmp_path) as store:
        await store.insert(paper("a"), ttl_seconds=0.01)
    await asyncio.sleep(0.02)
    async with SqliteOwner(tmp_path), SqliteStore(tmp_path) as store:
        await store.insert(paper("b"))
        assert rows(tmp_path, "kind_test_paper") == 1


async def test_a_clock_decides_over_life_and_death_in_memory() -> None:
    time = 1000.0
    async with MemoryStore(clock=lambda: time) as store:
        await store.insert(paper("a"), ttl_seconds=10)
        time = 1009.9
        assert await store.find(PAPER, "a") is not None
        time = 1010.0
        assert await store.find(PAPER, "a") is None


async def test_the_change_log_keeps_its_length_but_no_unpublished_event_is_lost(
    tmp_path: Path,
) -> None:
    kept = 50
    total = PRUNED_AT_ONCE * 3
    event = Event("test.note.written", "test-note/0", {})
    async with SqliteOwner(tmp_path, kept_changes=kept), SqliteStore(tmp_path) as store:
        await store.insert(Note(id="first"), events=[event])
        await _write(store, "a", total)
        assert len(await store.outbox()) == 1
        assert (await store.changes(0, limit=1))[0].sequence == 1
        assert rows(tmp_path, "store_changes") == total + 1

        await store.published(1)
        await _write(store, "b", PRUNED_AT_ONCE * 2)
        assert kept <= rows(tmp_path, "store_changes") <= kept + PRUNED_AT_ONCE + 30
        newest = (await store.identity()).sequence
        assert (await store.changes(newest - 10))[-1].sequence == newest


async def test_old_changes_go_but_the_newest_stays(tmp_path: Path) -> None:
    async with SqliteOwner(tmp_path, kept_seconds=0.0), SqliteStore(tmp_path) as store:
        await _write(store, "a", PRUNED_AT_ONCE * 2)
        assert rows(tmp_path, "store_changes") <= PRUNED_AT_ONCE + 30
        before = await store.identity()
    async with SqliteOwner(tmp_path), SqliteStore(tmp_path) as store:
        assert await store.identity() == before


async def _write(store: Store, name: str, count: int) -> None:
    for start in range(0, count, 25):
        await store.atomic([Insert(Note(id=f"{name}{n}")) for n in range(start, start + 25)])


async def test_a_watcher_that_is_too_slow_is_told(tmp_path: Path) -> None:
    async with (
        SqliteOwner(tmp_path, kept_changes=10) as owner,
        SqliteStore(tmp_path) as store,
        MemoryStore(kept_changes=10) as memory,
    ):
        owner._writer._pruned_at = 0
        for each in (store, memory):
            watching = each.watch()
            await _write(each, "a", PRUNED_AT_ONCE * 2)
            with pytest.raises(Unavailable, match="too slow"):
                await anext(watching)


async def test_the_log_file_stays_bounded_beside_busy_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = WAL_LIMIT_BYTES // 64
    monkeypatch.setattr("stratuslab.core.store.sqlite.writer.WAL_LIMIT_BYTES", limit)
    monkeypatch.setattr("stratuslab.core.store.sqlite.owner.IDLE_SECONDS", 0.05)
    async with SqliteOwner(tmp_path), SqliteStore(tmp_path) as store:
        log = tmp_path / "store.db-wal"
        for number in range(100):
            body = "x" * 50_000
            await store.atomic([Insert(Note(id=f"{number}-{n}", description=body)) for n in "abcd"])
            await store.count(Query(NOTE))
        reading = [asyncio.create_task(_read(store)) for _ in range(3)]
        await eventually(lambda: log.stat().st_size <= limit, what="a short log")
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


async def _read(store: Store) -> None:
    while True:
        assert len([each async for each in store.scan(NOTE)]) == 400
        await asyncio.sleep(0.001)


async def test_many_readers_and_writers_see_whole_groups(
    tmp_path: Path,
) -> None:
    """Two papers are always written together; nobody ever sees them differ in one page."""
    with OwnerProcess() as process:
        process.open(tmp_path / "store")
        async with SqliteStore(tmp_path / "store") as store, asyncio.timeout(30):
            await store.atomic([Insert(paper("a")), Insert(paper("b"))])
            reading = [asyncio.create_task(_compare(store)) for _ in range(4)]
            for number in range(300):
                one, other = await store.get(PAPER, "a"), await store.get(PAPER, "b")
                await store.atomic(
                    [
                        Replace(one, paper("a", str(number), size=number)),
                        Replace(other, paper("b", str(number), size=number)),
                    ]
                )
            for task in reading:
                task.cancel()
            ends = await asyncio.gather(*reading, return_exceptions=True)
            assert {type(end) for end in ends} == {asyncio.CancelledError}


async def _compare(store: Store) -> None:
    while True:
        page = await store.list(Query(PAPER, order_by="size"))
        assert len({each.document.size for each in page.items}) == 1
        both = await store.get_many(PAPER, ["a", "b"])
        assert len({each.document.size for each in both.values()}) == 1
        assert len([each async for each in store.scan(PAPER)]) == 2
        await asyncio.sleep(0.001)  # busy loops starve the disks of virtual machines
