"""The owner killed in the middle of writes: what was acknowledged is there, nobody hangs."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest
from contract.store.processes import OwnerProcess
from contract.store.samples import NOTE, PAPER, Note, Paper, paper

from stratuslab.core.contracts.messages import Event
from stratuslab.core.errors import Ambiguous, TransientError, Unavailable
from stratuslab.core.store.base import Change, Insert, OutboxEntry, Replace, Stored
from stratuslab.core.store.sqlite import SqliteStore

WRITERS = 12


@dataclass
class Writer:
    """Changes its own paper, and adds a note each time, in one group."""

    id: str
    acknowledged: int = -1
    """The highest number that the store said was written."""
    attempted: int = -1
    published: list[int] = field(default_factory=list)
    """Numbers whose event the store took with an acknowledged write."""
    numbers: list[int] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    async def run(self, store: SqliteStore) -> None:
        was: Stored[Paper] | None = None
        while True:
            try:
                if was is None:
                    was = await store.find(PAPER, self.id)
                await self._write(store, was)
                self.numbers.append(await store.counter("numbers"))
                was = await store.get(PAPER, self.id)
            except (Ambiguous, Unavailable) as error:
                self.outcomes[error.code] += 1
                was = None

    async def _write(self, store: SqliteStore, was: Stored[Paper] | None) -> None:
        number = self.attempted + 1 if was is None else was.document.size + 1
        self.attempted = max(number, self.attempted)
        document = paper(self.id, "x" * random.randrange(2000), size=number, readers=("user/ann",))
        event = Event("test.paper.written", f"test-paper/{self.id}", {"number": number})
        note = Insert(Note(id=f"{self.id}-{number}"))
        if was is None:
            await store.atomic([Insert(document, [event]), note])
        else:
            await store.atomic([note, Replace(was, document, [event])])
        self.acknowledged = number
        self.published.append(number)
        self.outcomes["written"] += 1


@pytest.mark.parametrize("rounds", [6, pytest.param(40, marks=pytest.mark.full)])
async def test_kills_lose_nothing_that_was_acknowledged(tmp_path: Path, rounds: int) -> None:
    seed = int(os.environ.get("STRATUSLAB_TEST_SEED", "0")) or random.randrange(10**6)
    print(f"STRATUSLAB_TEST_SEED={seed}")
    dice = random.Random(seed)
    folder = tmp_path / "store"
    process = _start(folder)
    writers = [Writer(f"w{number}") for number in range(WRITERS)]
    try:
        async with SqliteStore(folder, patience_seconds=0.3, answer_seconds=5) as store:
            tasks = [asyncio.create_task(writer.run(store)) for writer in writers]
            for _ in range(rounds):
                before = sum(writer.outcomes["written"] for writer in writers)
                await asyncio.sleep(dice.uniform(0.02, 0.25))
                process.kill()
                await asyncio.sleep(dice.choice([0, 0, 0.5]))
                process = await asyncio.to_thread(_start, folder)
                await _everybody_writes_again(writers)
                assert sum(writer.outcomes["written"] for writer in writers) > before
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(end) for end in ends} == {asyncio.CancelledError}, ends
            await store.counter("numbers")  # answered after whatever was under way
            await _check(store, writers)
    finally:
        process.kill()
    assert apsw.Connection(str(folder / "store.db")).pragma("quick_check") == "ok"
    outcomes = sum((writer.outcomes for writer in writers), Counter[str]())
    print(dict(outcomes))
    assert outcomes["ambiguous"] > 0
    assert set(outcomes) <= {"written", "ambiguous", "unavailable"}


async def _everybody_writes_again(writers: list[Writer]) -> None:
    reached = [writer.acknowledged for writer in writers]
    async with asyncio.timeout(20):
        while any(w.acknowledged == before for w, before in zip(writers, reached, strict=True)):
            await asyncio.sleep(0.01)


async def _check(store: SqliteStore, writers: list[Writer]) -> None:
    changes = await _whole_log(store)
    assert [each.sequence for each in changes] == list(range(1, len(changes) + 1))
    newest = {(each.kind, each.id): each.rev for each in changes}
    waiting = [each async for each in _outbox(store)]
    numbers = [number for writer in writers for number in writer.numbers]
    assert len(set(numbers)) == len(numbers)
    for writer in writers:
        found = await store.get(PAPER, writer.id)
        # The last attempt may have been cut off after its commit.
        assert writer.acknowledged <= found.document.size <= writer.attempted
        assert newest["test-paper", writer.id] == found.rev
        for number in range(found.document.size + 1):
            assert newest["test-note", f"{writer.id}-{number}"] == await store.revision(
                NOTE, f"{writer.id}-{number}"
            )
        assert await store.find(NOTE, f"{writer.id}-{found.document.size + 1}") is None
        subject = f"test-paper/{writer.id}"
        mine = [each.event.data["number"] for each in waiting if each.event.subject == subject]
        assert mine == list(range(found.document.size + 1))
        assert set(writer.published) <= set(mine)


async def _whole_log(store: SqliteStore) -> list[Change]:
    changes: list[Change] = []
    while page := await store.changes(len(changes)):
        changes += page
    return changes


async def _outbox(store: SqliteStore) -> AsyncIterator[OutboxEntry]:
    while page := await store.outbox():
        for each in page:
            yield each
        await store.published(page[-1].sequence)


async def test_an_update_survives_kills_without_being_repeated(tmp_path: Path) -> None:
    """Adds one to a number, as often as it is acknowledged; what is ambiguous is looked up."""
    folder = tmp_path / "store"
    process = _start(folder)
    done = 0
    unknown = 0

    def add(document: Paper) -> None:
        document.size += 1

    try:
        async with SqliteStore(folder) as store:
            await store.insert(paper("a"))
            killing = asyncio.create_task(_kill_and_restart(process, folder, 3))
            while not killing.done():
                try:
                    await store.update(PAPER, "a", add)
                    done += 1
                except Ambiguous:
                    unknown += 1
                except TransientError:
                    continue
            process = killing.result()
            size = (await store.get(PAPER, "a")).document.size
            assert done <= size <= done + unknown
            assert done > 3
    finally:
        process.kill()


async def _kill_and_restart(process: OwnerProcess, folder: Path, times: int) -> OwnerProcess:
    for _ in range(times):
        await asyncio.sleep(0.1)
        process.kill()
        process = await asyncio.to_thread(_start, folder)
    await asyncio.sleep(0.1)
    return process


def _start(folder: Path) -> OwnerProcess:
    process = OwnerProcess().__enter__()
    process.open(folder)
    return process
