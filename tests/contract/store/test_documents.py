"""What every store promises about one document."""

from __future__ import annotations

import asyncio
import json

import pytest
from contract.store.conftest import OpenStore
from contract.store.samples import NOTE, PAPER, PULSE, Note, Paper, Pulse, paper
from eventually import eventually

from stratuslab.core.contracts.messages import Event
from stratuslab.core.documents.codec import MAX_DOCUMENT_BYTES
from stratuslab.core.errors import (
    AlreadyExists,
    Conflict,
    InvalidRequest,
    NotFound,
    TooLarge,
)
from stratuslab.core.store.base import MAX_PAGE, Put, Store, Stored


async def test_what_was_inserted_is_found_with_its_bytes(store: Store) -> None:
    written = await store.insert(paper("a", "Ä long\ttitle\0", size=-(2**63)))

    read = await store.get(PAPER, "a")

    assert read.document == written.document
    assert (read.rev, read.body) == (written.rev, written.body)
    assert json.loads(read.body)["kind"] == "test-paper"
    assert await store.revision(PAPER, "a") == read.rev


async def test_what_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="test-paper a"):
        await store.get(PAPER, "a")
    assert await store.find(PAPER, "a") is None
    assert await store.revision(PAPER, "a") is None
    assert await store.get_many(PAPER, ["a", "b"]) == {}


async def test_kinds_do_not_share_ids(store: Store) -> None:
    await store.insert(paper("a", "paper"))
    await store.insert(Note(id="a", name="note"))

    assert (await store.get(PAPER, "a")).document.name == "paper"
    assert (await store.get(NOTE, "a")).document.name == "note"


async def test_an_id_can_be_used_once(store: Store) -> None:
    await store.insert(paper("a", "first"))
    with pytest.raises(AlreadyExists, match="test-paper/a"):
        await store.insert(paper("a", "second"))
    assert (await store.get(PAPER, "a")).document.name == "first"


@pytest.mark.parametrize("id", ["", "x" * 250, "ü" * 120])
async def test_an_impossible_id_is_refused(store: Store, id: str) -> None:
    with pytest.raises(InvalidRequest, match="250 bytes"):
        await store.insert(paper(id))


async def test_many_are_read_at_once_in_the_order_asked_for(store: Store) -> None:
    for id in "abcde":
        await store.insert(paper(id, id.upper()))

    found = await store.get_many(PAPER, ["d", "x", "a", "d", "b"])

    assert [(id, each.document.name) for id, each in found.items()] == [
        ("d", "D"),
        ("a", "A"),
        ("b", "B"),
    ]
    assert await store.get_many(PAPER, []) == {}
    with pytest.raises(InvalidRequest, match="1000"):
        await store.get_many(PAPER, ["a"] * (MAX_PAGE + 1))


async def test_a_replace_needs_the_present_revision(store: Store) -> None:
    first = await store.insert(paper("a", "first"))
    second = await store.replace(first, paper("a", "second"))
    assert second.rev != first.rev

    with pytest.raises(Conflict):
        await store.replace(first, paper("a", "third"))

    read = await store.get(PAPER, "a")
    assert (read.document.name, read.rev) == ("second", second.rev)


async def test_what_was_removed_cannot_be_replaced_or_removed(store: Store) -> None:
    first = await store.insert(paper("a"))
    second = await store.replace(first, paper("a", "second"))
    with pytest.raises(Conflict):
        await store.remove(first)
    await store.remove(second)

    assert await store.find(PAPER, "a") is None
    with pytest.raises(NotFound):
        await store.replace(second, paper("a", "third"))
    with pytest.raises(NotFound):
        await store.remove(second)


async def test_revisions_of_a_removed_document_do_not_come_back(store: Store) -> None:
    first = await store.insert(paper("a"))
    await store.remove(first)
    again = await store.insert(paper("a"))

    assert again.rev != first.rev
    with pytest.raises(Conflict):
        await store.replace(first, paper("a", "late"))


async def test_other_views_see_an_acknowledged_write_at_once(open_another: OpenStore) -> None:
    one, other = await open_another(), await open_another()
    written = await one.insert(paper("a", "0"))
    for number in range(50):
        writer, reader = (one, other) if number % 2 else (other, one)
        written = await writer.replace(written, paper("a", str(number)))
        assert await reader.revision(PAPER, "a") == written.rev
        assert (await reader.get(PAPER, "a")).document.name == str(number)


async def test_fields_unknown_to_this_version_are_kept(store: Store) -> None:
    await store.insert(paper("a", "old"))
    newer = json.loads((await store.get(PAPER, "a")).body)
    newer["invented"] = {"later": [1, 2]}
    newer["binding"] = {"colour": "red", "invented": "too"}
    was = await store.get(PAPER, "a")
    bytes_of_newer = json.dumps(newer).encode()
    await store.replace(Stored(was.document, was.rev, bytes_of_newer), was.document)

    def rename(document: Paper) -> None:
        document.name = "new"
        document.binding.colour = "blue"

    await store.update(PAPER, "a", rename)

    found = json.loads((await store.get(PAPER, "a")).body)
    assert found["name"] == "new"
    assert found["invented"] == {"later": [1, 2]}
    assert found["binding"] == {"colour": "blue", "invented": "too"}


async def test_a_document_over_a_mebibyte_is_refused(store: Store) -> None:
    await store.insert(Note(id="fits", description="x" * (MAX_DOCUMENT_BYTES - 500)))
    with pytest.raises(TooLarge, match="1048576"):
        await store.insert(Note(id="a", description="x" * MAX_DOCUMENT_BYTES))
    assert await store.find(NOTE, "a") is None


async def test_events_over_a_mebibyte_are_refused(store: Store) -> None:
    event = Event("x.y.z", "test-note/a", {"text": "x" * MAX_DOCUMENT_BYTES})
    with pytest.raises(TooLarge, match="1048576"):
        await store.insert(Note(id="a"), events=[event])
    assert await store.find(NOTE, "a") is None


# Unique fields


async def test_a_unique_value_belongs_to_one_document(store: Store) -> None:
    first = await store.insert(paper("a", number=7))
    with pytest.raises(AlreadyExists, match="number 7") as refused:
        await store.insert(paper("b", number=7))
    assert refused.value.details["field"] == "number"
    second = await store.insert(paper("b", number=8))
    with pytest.raises(AlreadyExists):
        await store.replace(second, paper("b", number=7))

    second = await store.replace(second, paper("b", "same number", number=8))
    await store.remove(first)
    assert (await store.replace(second, paper("b", number=7))).document.number == 7


async def test_absent_unique_values_do_not_collide(store: Store) -> None:
    await store.insert(paper("a"))
    await store.insert(paper("b"))
    assert (await store.get(PAPER, "b")).document.number is None


async def test_a_number_too_large_to_index_is_refused(store: Store) -> None:
    with pytest.raises(InvalidRequest, match="size"):
        await store.insert(paper("a", size=2**63))
    assert await store.find(PAPER, "a") is None


# Updates


async def test_twenty_concurrent_updaters_lose_nothing(open_another: OpenStore) -> None:
    views = [await open_another() for _ in range(2)]
    await views[0].insert(paper("a"))

    def add(document: Paper) -> None:
        document.size += 1

    async def updater(number: int) -> None:
        for _ in range(5):
            await views[number % 2].update(PAPER, "a", add)

    await asyncio.gather(*(updater(number) for number in range(20)))

    assert (await views[0].get(PAPER, "a")).document.size == 100


async def test_an_update_that_changes_nothing_writes_nothing(store: Store) -> None:
    was = await store.insert(paper("a", "same"))
    before = await store.identity()

    def nothing(document: Paper) -> list[Event]:
        document.name = "same"
        return [Event("x.y.z", "test-paper/a", {})]

    result = await store.update(PAPER, "a", nothing)

    assert result.rev == was.rev
    assert await store.identity() == before
    assert await store.outbox() == []


async def test_an_update_passes_on_what_the_change_raises(store: Store) -> None:
    await store.insert(paper("a"))

    def refuse(document: Paper) -> None:
        document.name = "half"
        raise InvalidRequest("no")

    with pytest.raises(InvalidRequest, match="no"):
        await store.update(PAPER, "a", refuse)
    assert (await store.get(PAPER, "a")).document.name == ""
    with pytest.raises(NotFound):
        await store.update(PAPER, "b", refuse)


async def test_nobody_shares_an_object_with_the_store(store: Store) -> None:
    mine = paper("a", "written")
    await store.insert(mine)
    mine.name = "changed afterwards"
    read = await store.get(PAPER, "a")
    assert read.document.name == "written"
    read.document.name = "changed as well"
    assert (await store.get(PAPER, "a")).document.name == "written"


# Documents that vanish


async def test_a_document_with_a_life_time_vanishes(store: Store) -> None:
    await store.insert(paper("a", number=1), ttl_seconds=0.15)
    await store.insert(paper("b", number=2), ttl_seconds=60)
    assert await store.find(PAPER, "a") is not None

    async def gone() -> bool:
        return await store.find(PAPER, "a") is None

    await eventually(gone, what="the end of its life")
    assert await store.revision(PAPER, "a") is None
    assert list(await store.get_many(PAPER, ["a", "b"])) == ["b"]
    with pytest.raises(NotFound):
        await store.get(PAPER, "a")

    again = await store.insert(paper("a", "another", number=1))
    assert (await store.get(PAPER, "a")).rev == again.rev


async def test_a_vanished_document_gives_its_unique_value_back(store: Store) -> None:
    await store.insert(paper("a", number=1), ttl_seconds=0.05)

    async def free() -> bool:
        try:
            await store.insert(paper("b", number=1))
        except AlreadyExists:
            return False
        return True

    await eventually(free, what="the number")


async def test_a_replace_keeps_the_life_time(store: Store) -> None:
    was = await store.insert(paper("a"), ttl_seconds=0.2)
    await store.replace(was, paper("a", "again"))

    async def gone() -> bool:
        return await store.find(PAPER, "a") is None

    await eventually(gone, what="the end of its life")


@pytest.mark.parametrize("ttl_seconds", [0, -1, float("nan")])
async def test_a_life_time_is_positive(store: Store, ttl_seconds: float) -> None:
    with pytest.raises(ValueError, match="live"):
        await store.insert(paper("a"), ttl_seconds=ttl_seconds)


# Volatile kinds


async def test_a_volatile_document_is_written_blindly_and_leaves_no_trace(store: Store) -> None:
    before = await store.identity()
    revisions = set()
    for beats in range(3):
        await store.put(Pulse(id="host", beats=beats))
        revisions.add(await store.revision(PULSE, "host"))
    [rev] = await store.atomic([Put(Pulse(id="host", beats=3))])

    assert (await store.get(PULSE, "host")).document.beats == 3
    assert len(revisions | {rev}) == 4
    assert await store.changes(0) == []
    assert await store.identity() == before


async def test_a_put_sets_the_life_time_anew(store: Store) -> None:
    await store.put(Pulse(id="host", beats=1), ttl_seconds=0.05)
    await store.put(Pulse(id="host", beats=2))
    await asyncio.sleep(0.1)
    assert (await store.get(PULSE, "host")).document.beats == 2


async def test_volatile_documents_also_obey_revisions(store: Store) -> None:
    was = await store.insert(Pulse(id="host"))
    await store.put(Pulse(id="host", beats=1))
    with pytest.raises(Conflict):
        await store.replace(was, Pulse(id="host", beats=2))
    with pytest.raises(AlreadyExists):
        await store.insert(Pulse(id="host"))
    await store.remove(await store.get(PULSE, "host"))
    assert await store.find(PULSE, "host") is None


async def test_what_only_a_mistake_asks_for_is_a_plain_error(store: Store) -> None:
    with pytest.raises(ValueError, match="not volatile"):
        await store.put(paper("a"))
    with pytest.raises(ValueError, match="no events"):
        await store.insert(Pulse(id="a"), events=[Event("x.y.z", "test-pulse/a", {})])
