"""What every store promises about groups of writes, counters and the change log."""

from __future__ import annotations

import asyncio

import pytest
from contract.store.conftest import OpenStore
from contract.store.samples import NOTE, PAPER, Note, paper
from eventually import eventually

from stratuslab.core.contracts.messages import Event
from stratuslab.core.documents.codec import MAX_DOCUMENT_BYTES
from stratuslab.core.errors import AlreadyExists, Conflict, InvalidRequest, NotFound
from stratuslab.core.store.base import (
    MAX_ATOMIC_WRITES,
    Change,
    Insert,
    Query,
    Remove,
    Replace,
    Store,
)


def event(number: int) -> Event:
    """An event that can be told from others."""
    return Event("test.paper.written", "test-paper/a", {"number": number})


# Groups


async def test_a_group_is_written_whole(store: Store) -> None:
    old, gone = await store.insert(paper("old")), await store.insert(paper("gone"))

    revs = await store.atomic(
        [
            Insert(paper("new", number=1), [event(1)]),
            Replace(old, paper("old", "changed"), [event(2), event(3)]),
            Remove(gone, [event(4)]),
            Insert(Note(id="note"), ttl_seconds=60),
        ]
    )

    new, changed = await store.get(PAPER, "new"), await store.get(PAPER, "old")
    assert [new.rev, changed.rev, "", await store.revision(NOTE, "note")] == revs
    assert changed.document.name == "changed"
    assert await store.find(PAPER, "gone") is None
    assert [each.event.data["number"] for each in await store.outbox()] == [1, 2, 3, 4]


async def test_later_writes_of_a_group_see_the_earlier_ones(store: Store) -> None:
    holder = await store.insert(paper("a", number=1))
    await store.atomic([Remove(holder), Insert(paper("b", number=1)), Insert(paper("a"))])
    with pytest.raises(AlreadyExists):
        await store.atomic([Insert(paper("c")), Insert(paper("c"))])
    assert await store.find(PAPER, "c") is None


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize("reason", [AlreadyExists, Conflict, NotFound])
async def test_a_group_with_one_bad_write_changes_nothing(
    store: Store, place: int, reason: type[Exception]
) -> None:
    first = await store.insert(paper("present", "first", shelf="x", readers=("user/ann",)))
    present = await store.replace(first, paper("present", "second", readers=("user/ann",)))
    missing = await store.insert(paper("missing"))
    await store.remove(missing)
    before = await store.identity()
    bad = {
        AlreadyExists: Insert(paper("present")),
        Conflict: Replace(first, paper("present", "late")),
        NotFound: Remove(missing),
    }[reason]
    writes = [Insert(paper(f"new-{number}", number=number)) for number in range(4)]
    writes[1] = Replace(present, paper("present", "third", readers=()))
    writes.insert(place, bad)

    with pytest.raises(reason):
        await store.atomic(writes)

    assert await store.identity() == before
    assert (await store.get(PAPER, "present")).document.name == "second"
    assert [each.document.id async for each in store.scan(PAPER)] == ["present"]
    assert await store.count(Query(PAPER, visible_to=frozenset({"user/ann"}))) == 1
    assert len(await store.changes(0)) == before.sequence
    await store.insert(paper("again", number=0))


async def test_an_empty_group_is_nothing_and_a_huge_one_is_refused(store: Store) -> None:
    assert await store.atomic([]) == []
    with pytest.raises(InvalidRequest, match="32"):
        await store.atomic([Insert(Note(id=str(n))) for n in range(MAX_ATOMIC_WRITES + 1)])
    await store.atomic([Insert(Note(id=str(n))) for n in range(MAX_ATOMIC_WRITES)])


async def test_the_largest_group_of_the_largest_documents_fits(store: Store) -> None:
    text = "x" * (MAX_DOCUMENT_BYTES - 500)
    ids = [f"{number:02}" for number in range(MAX_ATOMIC_WRITES)]
    await store.atomic([Insert(Note(id=id, description=text)) for id in ids])
    assert [each.document.id async for each in store.scan(NOTE)] == ids


async def test_of_concurrent_groups_on_one_document_one_wins(open_another: OpenStore) -> None:
    views = [await open_another(), await open_another()]
    was = await views[0].insert(paper("a"))

    async def attempt(number: int) -> str | None:
        try:
            await views[number % 2].atomic(
                [Insert(Note(id=str(number))), Replace(was, paper("a", str(number)))]
            )
        except Conflict:
            return None
        return str(number)

    outcomes = await asyncio.gather(*(attempt(number) for number in range(20)))

    [winner] = [each for each in outcomes if each is not None]
    assert (await views[0].get(PAPER, "a")).document.name == winner
    assert [each.document.id async for each in views[1].scan(NOTE)] == [winner]


# Counters


async def test_counters_give_blocks_that_never_overlap(open_another: OpenStore) -> None:
    views = [await open_another(), await open_another()]
    assert await views[0].counter("vmid") == 1
    assert await views[1].counter("vmid", 10) == 2
    assert await views[0].counter("other") == 1

    async def take(number: int) -> range:
        first = await views[number % 2].counter("vmid", number + 1)
        return range(first, first + number + 1)

    blocks = await asyncio.gather(*(take(number) for number in range(20)))
    numbers = sorted(number for block in blocks for number in block)
    assert numbers == list(range(12, 12 + sum(range(1, 21))))
    with pytest.raises(ValueError, match="at least one"):
        await views[0].counter("vmid", 0)


# The change log


async def test_the_log_has_every_change_once_and_in_order(open_another: OpenStore) -> None:
    views = [await open_another(), await open_another()]

    async def live(number: int) -> None:
        view, id = views[number % 2], f"p{number}"
        was = await view.insert(paper(id))
        was = await view.replace(was, paper(id, "again"))
        await view.remove(was)

    await asyncio.gather(*(live(number) for number in range(20)))

    changes = await views[0].changes(0)
    assert [each.sequence for each in changes] == list(range(1, 61))
    assert (await views[1].identity()).sequence == 60
    for number in range(20):
        mine = [each for each in changes if each.id == f"p{number}"]
        assert [each.operation for each in mine] == ["insert", "replace", "remove"]
        assert {each.kind for each in mine} == {"test-paper"}
        assert mine[0].rev != mine[1].rev
        assert mine[2].rev == ""
    assert await views[0].changes(58) == changes[58:]
    assert await views[0].changes(10, limit=5) == changes[10:15]
    assert await views[0].changes(60) == []
    with pytest.raises(InvalidRequest):
        await views[0].changes(0, limit=0)


async def test_revisions_in_the_log_are_those_of_the_documents(store: Store) -> None:
    was = await store.insert(paper("a"))
    now = await store.replace(was, paper("a", "again"))
    assert [each.rev for each in await store.changes(0)] == [was.rev, now.rev]


async def test_events_wait_until_they_are_confirmed(open_another: OpenStore) -> None:
    store, other = await open_another(), await open_another()
    was = await store.insert(paper("a"), events=[event(1), event(2)])
    await store.insert(paper("quiet"))
    was = await store.replace(was, paper("a", "again"), events=[event(3)])
    await store.remove(was, events=[event(4)])

    waiting = await other.outbox()
    assert [each.event for each in waiting] == [event(n) for n in (1, 2, 3, 4)]
    assert [each.sequence for each in waiting] == [1, 1, 3, 4]
    assert len({each.id for each in waiting}) == 4
    assert await other.outbox() == waiting

    await other.published(3)
    assert await store.outbox() == waiting[3:]
    await store.published(4)
    await store.published(4)
    assert await store.outbox() == []
    assert len(await store.changes(0)) == 4


async def test_a_page_of_the_outbox_never_cuts_a_write_in_two(store: Store) -> None:
    for number in range(3):
        await store.insert(paper(str(number)), events=[event(number)] * 3)
    assert [each.sequence for each in await store.outbox(limit=4)] == [1, 1, 1, 2, 2, 2]
    assert [each.sequence for each in await store.outbox(limit=1)] == [1, 1, 1]


async def test_a_failed_write_publishes_nothing(store: Store) -> None:
    await store.insert(paper("a"))
    with pytest.raises(AlreadyExists):
        await store.insert(paper("a"), events=[event(1)])
    assert await store.outbox() == []


# Watching


async def test_a_watcher_gets_the_changes_from_now_on(open_another: OpenStore) -> None:
    store, other = await open_another(), await open_another()
    await store.insert(paper("before"))
    seen: list[Change] = []

    async def look() -> None:
        async for change in watching:
            seen.append(change)

    watching = other.watch()
    await store.insert(paper("a"))
    task = asyncio.create_task(look())
    try:
        was = await store.insert(paper("b"))
        await eventually(lambda: len(seen) >= 2, what="two changes")
        await store.remove(was)
        await eventually(lambda: len(seen) >= 3, what="three changes")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert seen == (await store.changes(1))


async def test_every_watcher_gets_everything(open_another: OpenStore) -> None:
    views = [await open_another() for _ in range(3)]

    async def take(view: Store, count: int) -> list[int]:
        numbers: list[int] = []
        async for change in view.watch():
            numbers.append(change.sequence)
            if len(numbers) == count:
                break
        return numbers

    tasks = [asyncio.create_task(take(view, 100)) for view in views * 2]
    await asyncio.sleep(0.05)
    for number in range(100):
        await views[0].insert(paper(str(number)))
    async with asyncio.timeout(10):
        assert await asyncio.gather(*tasks) == [list(range(1, 101))] * 6


async def test_the_identity_grows_with_every_change(open_another: OpenStore) -> None:
    store, other = await open_another(), await open_another()
    empty = await store.identity()
    assert (empty.epoch, empty.sequence) == (1, 0)
    assert empty.cloud_id
    await store.insert(paper("a"))
    grown = await other.identity()
    assert (grown.cloud_id, grown.epoch, grown.sequence) == (empty.cloud_id, 1, 1)
