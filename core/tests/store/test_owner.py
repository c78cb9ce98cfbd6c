"""The owner of a SQLite store: alone, found again, and clear about what is wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RLIMIT_FSIZE, prlimit
from typing import Any

import apsw
import pytest
import uvloop
from contract.store.processes import OwnerProcess
from contract.store.samples import NOTE, PAPER, PULSE, Note, Pulse, paper
from eventually import eventually

from stratuslab.core.documents.frame import Document
from stratuslab.core.documents.kinds import Field, Kind
from stratuslab.core.errors import (
    Ambiguous,
    ConfigurationError,
    PermanentError,
    Unavailable,
)
from stratuslab.core.store.base import Insert, Query
from stratuslab.core.store.sqlite import SqliteOwner, SqliteStore
from stratuslab.core.store.sqlite.peer import Peer


@pytest.fixture
def process() -> Iterator[OwnerProcess]:
    """A process that may be killed."""
    with OwnerProcess() as process:
        yield process


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


# One owner


async def test_a_second_owner_is_refused_by_name(folder: Path, process: OwnerProcess) -> None:
    async with SqliteOwner(folder):
        with pytest.raises(ConfigurationError, match=f"served by process {os.getpid()}"):
            await SqliteOwner(folder).__aenter__()
        assert f"served by process {os.getpid()}" in process.order(f"open {folder}")
    process.open(folder)
    with pytest.raises(ConfigurationError, match=f"served by process {process.pid}"):
        await SqliteOwner(folder).__aenter__()


async def test_only_its_user_can_reach_the_store(folder: Path) -> None:
    async with SqliteOwner(folder):
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert set(modes.values()) == {0o600}
        assert {"store.db", "store.db-wal", "store.sock"} <= modes.keys()


async def test_the_folder_may_have_a_long_name(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40) / "store"
    async with SqliteOwner(folder), SqliteStore(folder) as store:
        await store.insert(paper("a"))
        assert await store.count(Query(PAPER)) == 1


def test_it_runs_on_uvloop(folder: Path) -> None:
    async def main() -> None:
        async with SqliteOwner(folder), SqliteStore(folder) as store:
            await asyncio.gather(*(store.insert(paper(str(n))) for n in range(100)))
            assert await store.count(Query(PAPER)) == 100

    uvloop.run(main())


# What is wrong with a folder


async def _refusal(folder: Path) -> str:
    with pytest.raises(ConfigurationError) as refused:
        await SqliteOwner(folder).__aenter__()
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert str(folder) in sentence
    return sentence


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Without the super-user's right to write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    for each in (tmp_path, *tmp_path.parents[:2]):
        each.chmod(0o755)
    made = tmp_path / "made"
    made.mkdir(mode=0o555)
    with _as_nobody():
        assert "cannot be written: Permission denied" in await _refusal(made)
        assert "cannot be written" in await _refusal(tmp_path / "new")
    (tmp_path / "file").write_text("")
    assert "cannot be written" in await _refusal(tmp_path / "file")
    assert "cannot be written" in await _refusal(Path("/proc/stratuslab"))


async def test_a_read_only_database_is_named(folder: Path) -> None:
    async with SqliteOwner(folder):
        pass
    folder.parent.chmod(0o755)
    for each in (folder, *folder.iterdir()):
        each.chmod(0o777 if each.name != "store.db" else 0o444)
    for each in (folder.parent, *folder.parent.parents[:3]):
        each.chmod(0o755)
    with _as_nobody():
        assert "cannot be opened" in await _refusal(folder)


@pytest.mark.parametrize("damage", [b"no database " * 1000, b"SQLite format 3\0" + b"\xff" * 8000])
async def test_a_damaged_database_is_named(folder: Path, damage: bytes) -> None:
    async with SqliteOwner(folder), SqliteStore(folder) as store:
        await store.insert(paper("a"))
    (folder / "store.db").write_bytes(damage)
    for log in folder.glob("store.db-*"):
        log.unlink()
    assert "damaged" in await _refusal(folder)
    assert (folder / "store.db").read_bytes() == damage


async def test_a_foreign_or_newer_database_is_left_alone(folder: Path) -> None:
    folder.mkdir()
    foreign = apsw.Connection(str(folder / "store.db"))
    foreign.execute("CREATE TABLE invoices (sum)")
    foreign.close()
    assert "something else" in await _refusal(folder)
    (folder / "store.db").unlink()

    async with SqliteOwner(folder):
        pass
    newer = apsw.Connection(str(folder / "store.db"))
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    assert "newer version" in await _refusal(folder)


# Coming and going


async def test_a_store_waits_for_its_owner(folder: Path) -> None:
    async def work() -> int:
        async with SqliteStore(folder) as store:
            await store.insert(paper("a"))
            return await store.count(Query(PAPER))

    working = asyncio.create_task(work())
    await asyncio.sleep(0.1)
    assert not working.done()
    async with SqliteOwner(folder):
        assert await working == 1


async def test_a_store_without_an_owner_gives_up_in_time(folder: Path) -> None:
    async with asyncio.timeout(2):
        with pytest.raises(Unavailable, match="not being served"):
            await SqliteStore(folder, patience_seconds=0.2).__aenter__()


async def test_reads_go_on_without_the_owner_and_writes_wait_for_it(folder: Path) -> None:
    async with SqliteOwner(folder):
        store = await SqliteStore(folder, patience_seconds=0.5).__aenter__()
        await store.insert(paper("a"))
    try:
        await eventually(lambda: store._client._connection is None)
        assert (await store.get(PAPER, "a")).document.id == "a"
        with pytest.raises(Unavailable, match="not being served"):
            await store.insert(paper("b"))
        waiting = asyncio.create_task(store.insert(paper("c")))
        await asyncio.sleep(0.01)
        async with SqliteOwner(folder):
            assert (await waiting).rev == "2"
            await store.update(PAPER, "a", lambda each: setattr(each, "name", "later"))
            assert await store.count(Query(PAPER)) == 2
    finally:
        await store.__aexit__(None, None, None)


async def test_a_watcher_misses_nothing_when_the_owner_changes(folder: Path) -> None:
    async with SqliteOwner(folder):
        store = await SqliteStore(folder).__aenter__()
        watching = store.watch()
        await store.insert(paper("a"))
        assert (await anext(watching)).id == "a"
    try:
        async with SqliteOwner(folder), SqliteStore(folder) as other, asyncio.timeout(5):
            await other.insert(paper("b"))
            assert (await anext(watching)).id == "b"
    finally:
        await store.__aexit__(None, None, None)
    assert [each async for each in watching] == []


async def test_a_hanging_owner_leaves_no_caller_hanging(
    folder: Path, process: OwnerProcess
) -> None:
    process.open(folder)
    async with SqliteStore(folder, patience_seconds=0.3, answer_seconds=0.3) as store:
        await store.insert(paper("a"))
        os.kill(process.pid, signal.SIGSTOP)
        async with asyncio.timeout(5):
            with pytest.raises(Ambiguous, match="did not answer"):
                await store.insert(paper("b"))
            with pytest.raises(Unavailable):
                await SqliteStore(folder, patience_seconds=0.3).__aenter__()
            assert (await store.get(PAPER, "a")).document.id == "a"
        os.kill(process.pid, signal.SIGCONT)

        async def done() -> bool:
            return await store.find(PAPER, "b") is not None

        await eventually(done, what="the write whose fate was unknown")
        await store.insert(paper("c"))


async def test_what_has_arrived_is_answered_when_the_owner_stops(folder: Path) -> None:
    async with SqliteOwner(folder) as owner:
        store = await SqliteStore(folder).__aenter__()
        writing = [asyncio.create_task(store.insert(paper(str(n)))) for n in range(600)]
        await eventually(lambda: owner._writer.sequence > 0, every_seconds=0.0001)
    try:
        ends = await asyncio.gather(*writing, return_exceptions=True)
        written = [each for each in ends if not isinstance(each, BaseException)]
        assert len(written) > 0
        assert all(isinstance(each, Ambiguous) for each in ends if isinstance(each, Exception))
        assert await store.count(Query(PAPER)) >= len(written)
    finally:
        await store.__aexit__(None, None, None)


# Writes whose fate is unknown


class ForgetfulOwner(SqliteOwner):
    """Goes away between the commit and the answer."""

    def _answer(self, group: Any, answers: Any) -> None:
        for connection, _ in group:
            connection.abort()


class DeafOwner(SqliteOwner):
    """Goes away when a request has arrived."""

    def arrived(self, connection: Peer, request: Any) -> None:
        connection.abort()


async def test_a_write_that_was_done_is_recognised(folder: Path) -> None:
    async with ForgetfulOwner(folder), SqliteStore(folder) as store:
        was = await store.insert(paper("a", "first"))
        assert was.rev == (await store.get(PAPER, "a")).rev
        was = await store.replace(was, paper("a", "second"))
        assert await store.atomic([Insert(Note(id="n")), Insert(paper("b"))]) == ["3", "4"]
        await store.put(Pulse(id="p", beats=3))
        await store.remove(was)
        assert await store.find(PAPER, "a") is None
        with pytest.raises(Ambiguous):
            await store.counter("vmid")


async def test_a_write_that_was_not_done_stays_ambiguous(folder: Path) -> None:
    async with SqliteOwner(folder), SqliteStore(folder) as store:
        was = await store.insert(paper("a", "first"))
    async with DeafOwner(folder), SqliteStore(folder) as store:
        with pytest.raises(Ambiguous, match="went away"):
            await store.insert(paper("b"))
        with pytest.raises(Ambiguous):
            await store.replace(was, paper("a", "second"))
        with pytest.raises(Ambiguous):
            await store.remove(was)
        with pytest.raises(Ambiguous):
            await store.atomic([Insert(Note(id="n"))])
        assert (await store.get(PAPER, "a")).rev == was.rev


# Strange clients, too many of them


async def test_a_client_that_talks_nonsense_is_cut_off_alone(folder: Path) -> None:
    async with SqliteOwner(folder), SqliteStore(folder) as store:
        for nonsense in (
            b"\xff\xff\xff\xff",
            b"\0\0\0\5hello",
            b"\0\0\0\x04\x94\x01\x01\x90",
            b"GET / HTTP/1.1\r\n\r\n",
        ):
            reader, writer = await asyncio.open_unix_connection(str(folder / "store.sock"))
            writer.write(nonsense)
            async with asyncio.timeout(5):
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await reader.readexactly(1)
            writer.close()
        await store.insert(paper("a"))


async def test_another_version_of_the_protocol_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqliteOwner(folder):
        monkeypatch.setattr("stratuslab.core.store.sqlite.client.PROTOCOL", 99)
        with pytest.raises(ConfigurationError, match="same version"):
            await SqliteStore(folder, patience_seconds=0.2).__aenter__()


async def test_too_many_writes_at_once_are_refused_not_kept(
    folder: Path, process: OwnerProcess
) -> None:
    process.open(folder)
    async with SqliteStore(folder) as store:
        os.kill(process.pid, signal.SIGSTOP)
        writing = [asyncio.create_task(store.put(Pulse(id=str(n)))) for n in range(4100)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        refused = [each for each in writing if each.done()]
        assert len(refused) == 4
        for each in refused:
            with pytest.raises(Unavailable, match="already waiting"):
                await each
        os.kill(process.pid, signal.SIGCONT)
        await asyncio.gather(*(each for each in writing if each not in refused))
        assert len([each async for each in store.scan(PULSE)]) == 4096


# Documents the owner cannot index


class Odd(Document, tag="test-odd"):
    """A document whose field cannot always be computed."""

    ratio: int = 1


ODD = Kind("test-odd", Odd, (Field("inverse", lambda o: 1 // o.ratio),))


async def test_a_document_that_cannot_be_indexed_spoils_nothing(folder: Path) -> None:
    async with SqliteOwner(folder, declared=[ODD, NOTE]), SqliteStore(folder) as store:
        results = await asyncio.gather(
            store.insert(Odd(id="good")),
            store.insert(Odd(id="bad", ratio=0)),
            store.insert(paper("unknown")),
            store.insert(Note(id="n")),
            return_exceptions=True,
        )
        failures = [each for each in results if isinstance(each, BaseException)]
        assert [type(each) for each in failures] == [PermanentError, PermanentError]
        assert "test-odd/bad" in str(failures[0])
        assert "does not know documents of kind test-paper" in str(failures[1])
        assert await store.count(Query(ODD)) == 1
        assert await store.revision(NOTE, "n") is not None


# Full and failing disks


async def test_a_full_disk_refuses_writes_and_loses_nothing(folder: Path) -> None:
    async with SqliteOwner(folder, page_limit=400), SqliteStore(folder) as store:
        held = []
        with pytest.raises(Unavailable, match="full"):
            for number in range(1000):
                held.append(await store.insert(Note(id=str(number), description="x" * 100_000)))
        assert len(held) > 2
        outcomes = await asyncio.gather(
            store.counter("small"),
            store.insert(Note(id="big", description="x" * 100_000)),
            return_exceptions=True,
        )
        assert isinstance(outcomes[1], Unavailable)
        for each in held:
            assert (await store.get(NOTE, each.document.id)).body == each.body
        assert (await store.identity()).sequence == len(held)

        await store.remove(held.pop())
        await store.insert(Note(id="fits again", description="x" * 50_000))
    async with SqliteOwner(folder), SqliteStore(folder) as store:
        assert len([each async for each in store.scan(NOTE)]) == len(held) + 1


async def test_a_disk_that_takes_no_more_is_survived(folder: Path, process: OwnerProcess) -> None:
    process.open(folder)
    async with SqliteStore(folder) as store:
        await store.insert(Note(id="before"))
        size = (folder / "store.db-wal").stat().st_size
        prlimit(process.pid, RLIMIT_FSIZE, (size + 100_000, -1))
        with pytest.raises(Unavailable, match=r"cannot write|full"):
            await store.insert(Note(id="big", description="x" * 500_000))
        assert await store.find(NOTE, "big") is None
        assert (await store.get(NOTE, "before")).document.id == "before"
        prlimit(process.pid, RLIMIT_FSIZE, (-1, -1))
        await store.insert(Note(id="big", description="x" * 500_000))
    process.kill()
    async with SqliteOwner(folder), SqliteStore(folder) as store:
        assert [each.document.id async for each in store.scan(NOTE)] == ["before", "big"]
