"""What every store promises about lists and counts."""

from __future__ import annotations

from typing import Any

import pytest
from contract.store.samples import NOTE, PAPER, Note, Paper, paper
from eventually import eventually

from stratuslab.core.documents.frame import ADMINISTRATOR, Acl, Rule
from stratuslab.core.errors import InvalidRequest
from stratuslab.core.store.base import MAX_PAGE, Insert, Query, Store

ANN, BOB, ALL, GUESTS = "user/ann", "user/bob", "role/USER", "role/ANON"

# Ties in size, some on no shelf, numbers against the order of ids.
PAPERS = [
    paper(
        id,
        f"title {id}",
        size=place // 4,
        shelf=(None, "x", "y")[place % 3],
        number=None if place == 4 else -place,
        lent=place % 2 == 0,
    )
    for place, id in enumerate("ihgfedcba")
]


async def walk(store: Store, limit: int = 100, **query: Any) -> list[str]:
    """The ids of all pages, read with and without bodies, which must agree."""
    ids: list[str] = []
    after: str | None = None
    while True:
        asked = Query(PAPER, after=after, limit=limit, **query)
        page = await store.list(asked)
        keys = await store.list_revisions(asked)
        rows = [(each.document.id, each.rev) for each in page.items]
        assert rows == [(each.id, each.rev) for each in keys.items]
        assert (page.next is None) == (keys.next is None)
        ids += [id for id, _ in rows]
        if page.next is None:
            return ids
        assert len(rows) == limit
        after = page.next


def expected(where: dict[str, Any], order_by: str) -> list[str]:
    """What a list of PAPERS must give."""

    def value(each: Paper, field: str) -> Any:
        return each.name if field == "title" else getattr(each, field)

    field = order_by.removeprefix("-")
    found = [each for each in PAPERS if all(value(each, f) == v for f, v in where.items())]
    found.sort(
        key=lambda each: ([] if (v := value(each, field)) is None else [v], each.id),
        reverse=order_by.startswith("-"),
    )
    return [each.id for each in found]


@pytest.fixture
async def filled(store: Store) -> Store:
    """A store that holds PAPERS."""
    await store.atomic([Insert(each) for each in PAPERS])
    return store


async def test_an_empty_list_is_one_empty_page(store: Store) -> None:
    assert await walk(store) == []
    assert await store.count(Query(PAPER)) == 0


@pytest.mark.parametrize("field", ["id", "title", "size", "shelf", "number", "lent"])
async def test_pages_follow_the_order_with_ties_and_absent_values(
    filled: Store, field: str
) -> None:
    assert expected({}, "shelf")[:3] == ["c", "f", "i"]
    for order_by in (field, f"-{field}"):
        for limit in (1, 2, 3, 8, 9, 100):
            assert await walk(filled, limit, order_by=order_by) == expected({}, order_by)


@pytest.mark.parametrize(
    "where",
    [
        {"shelf": "x"},
        {"shelf": None},
        {"number": -3},
        {"number": None},
        {"lent": True},
        {"lent": 1, "size": 0},
        {"shelf": "x", "lent": True, "size": 1},
        {"shelf": None, "size": 1},
        {"shelf": "nowhere"},
        {"shelf": "nowhere", "size": 0},
    ],
)
async def test_conditions_and_orders_are_independent(filled: Store, where: dict[str, Any]) -> None:
    for order_by in ("id", "-id", "title", "-size", "shelf", "-number"):
        ids = expected(where, order_by)
        for limit in (1, 2, 100):
            assert await walk(filled, limit, where=where, order_by=order_by) == ids
        assert await filled.count(Query(PAPER, where)) == len(ids)


async def test_numbers_and_texts_compare_by_value(store: Store) -> None:
    for id, title, size in (("a", "10", 10), ("b", "9", 9), ("c", "é", -1), ("d", "z", 0)):
        await store.insert(paper(id, title, size=size))
    assert await walk(store, order_by="size") == ["c", "d", "b", "a"]
    assert await walk(store, order_by="title") == ["a", "b", "d", "c"]


async def test_a_page_does_not_mind_what_comes_and_goes_between(filled: Store) -> None:
    first = await filled.list(Query(PAPER, order_by="title", limit=4))
    assert [each.document.id for each in first.items] == list("abcd")

    await filled.remove(first.items[3])
    await filled.remove(first.items[0])
    await filled.insert(paper("aa", "title dd"))
    await filled.insert(paper("ab", "title aa"))

    rest = await filled.list(Query(PAPER, order_by="title", after=first.next))
    assert [each.document.id for each in rest.items] == ["aa", *"efghi"]


async def test_a_list_shows_the_newest_values(store: Store) -> None:
    was = await store.insert(paper("a", "old", size=1, shelf="x"))
    await store.insert(paper("b", "other", size=2, shelf="x"))
    await store.replace(was, paper("a", "new", size=3))

    assert await walk(store, where={"shelf": "x"}) == ["b"]
    assert await walk(store, where={"title": "old"}) == []
    assert await walk(store, order_by="-size") == ["a", "b"]
    await store.remove(await store.get(PAPER, "b"))
    assert await walk(store) == ["a"]


async def test_a_list_leaves_out_what_has_vanished(store: Store) -> None:
    for number, id in enumerate("abcdef"):
        ttl_seconds = 0.1 if number % 2 else None
        await store.insert(paper(id, readers=(ANN,), shelf="x"), ttl_seconds=ttl_seconds)

    async def vanished() -> bool:
        return await store.count(Query(PAPER)) == 3

    await eventually(vanished, what="the end of three lives")
    visible_to = frozenset({ANN, BOB})
    for limit in (1, 2, 3):
        assert await walk(store, limit, visible_to=visible_to, order_by="shelf") == ["a", "c", "e"]
    assert await store.count(Query(PAPER)) == 3
    assert await store.count(Query(PAPER, {"shelf": "x"}, visible_to)) == 3


# Visible to whom


@pytest.fixture
async def shared(store: Store) -> Store:
    """Papers of Ann, of Bob, of both, of everybody, and of nobody but the cloud."""
    for place, id in enumerate("abcdefghij"):
        owner, readers = [
            (ANN, ()),
            (BOB, ()),
            (ANN, (BOB, ALL)),
            (ADMINISTRATOR, (ALL, GUESTS)),
            (ADMINISTRATOR, ()),
        ][place % 5]
        await store.insert(paper(id, owner=owner, readers=readers, size=-place, lent=place > 4))
    return store


@pytest.mark.parametrize(
    ("principals", "ids"),
    [
        ({ANN}, "acfh"),
        ({BOB}, "bcgh"),
        ({ANN, ALL}, "acdfhi"),
        ({ANN, BOB, ALL, GUESTS}, "abcdfghi"),
        ({GUESTS}, "di"),
        ({"user/nobody"}, ""),
        ({"user/nobody", GUESTS}, "di"),
        ({ADMINISTRATOR}, "abcdefghij"),
        ({ANN, ADMINISTRATOR}, "abcdefghij"),
        ((), ""),
        (None, "abcdefghij"),
    ],
)
async def test_lists_and_counts_hold_what_the_principals_may_see(
    shared: Store, principals: Any, ids: str
) -> None:
    visible_to = None if principals is None else frozenset(principals)
    for limit in (1, 3, 100):
        assert "".join(await walk(shared, limit, visible_to=visible_to)) == ids
        backwards = await walk(shared, limit, visible_to=visible_to, order_by="size")
        assert "".join(reversed(backwards)) == ids
    assert await shared.count(Query(PAPER, visible_to=visible_to)) == len(ids)
    lent = [id for id in ids if id > "e"]
    for order_by in ("id", "-size", "title"):
        query = {"where": {"lent": True}, "visible_to": visible_to, "order_by": order_by}
        assert await walk(shared, 2, **query) == lent
        assert await shared.count(Query(PAPER, **query)) == len(lent)


async def test_changed_rights_show_at_once(store: Store) -> None:
    was = await store.insert(paper("a", owner=ANN, readers=(BOB,)))
    bobs, anns = (Query(PAPER, visible_to=frozenset({who})) for who in (BOB, ANN))
    assert [await store.count(query) for query in (bobs, anns)] == [1, 1]

    was.document.acl = Acl(owner=BOB)
    was = await store.replace(was, was.document)
    assert [await store.count(query) for query in (bobs, anns)] == [1, 0]

    def share(document: Paper) -> None:
        document.acl.rules = [Rule(ANN, "MODIFY"), Rule(ALL, "VIEW")]
        document.size = 5

    await store.update(PAPER, "a", share)
    assert [await store.count(query) for query in (bobs, anns)] == [1, 1]
    assert await walk(store, visible_to=frozenset({ALL}), where={"size": 5}) == ["a"]

    await store.remove(await store.get(PAPER, "a"))
    assert [await store.count(query) for query in (bobs, anns)] == [0, 0]


async def test_what_a_reader_lists_follows_the_document(store: Store) -> None:
    was = await store.insert(paper("a", owner=ANN, readers=(BOB,), size=1, shelf="x"))
    await store.insert(paper("b", owner=ANN, readers=(BOB,), size=2))
    await store.replace(was, paper("a", owner=ANN, readers=(BOB,), size=3))

    for who in (ANN, BOB):
        seen = frozenset({who})
        assert await walk(store, visible_to=seen, order_by="-size") == ["a", "b"]
        assert await walk(store, visible_to=seen, where={"size": 3}) == ["a"]
        assert await walk(store, visible_to=seen, where={"shelf": "x"}) == []
        assert await store.count(Query(PAPER, {"size": 1}, seen)) == 0


async def test_administrators_see_what_names_them_nowhere(store: Store) -> None:
    await store.insert(paper("a", owner=ANN))
    assert await walk(store, visible_to=frozenset({ADMINISTRATOR})) == ["a"]


# Scans, large lists


async def test_a_scan_gives_every_document_by_id(store: Store) -> None:
    ids = [f"{number:04}" for number in range(600)]
    for start in range(0, 600, 30):
        await store.atomic([Insert(paper(id, "t", size=1)) for id in ids[start : start + 30]])

    assert [each.document.id async for each in store.scan(PAPER)] == ids
    assert [each async for each in store.scan(NOTE)] == []
    assert await walk(store, MAX_PAGE, where={"size": 1}, order_by="-title") == ids[::-1]
    assert await store.count(Query(PAPER, {"size": 1, "title": "t"})) == 600


# What cannot be asked


@pytest.mark.parametrize("limit", [0, -1, MAX_PAGE + 1])
async def test_a_limit_out_of_range_is_refused(store: Store, limit: int) -> None:
    for ask in (store.list, store.list_revisions):
        with pytest.raises(InvalidRequest, match="1 to 1000"):
            await ask(Query(PAPER, limit=limit))


async def test_a_field_that_is_not_declared_is_refused(store: Store) -> None:
    for query in (
        Query(PAPER, {"weight": 1}),
        Query(PAPER, order_by="weight"),
        Query(PAPER, order_by="-weight"),
        Query(PAPER, order_by="--size"),
        Query(PAPER, order_by="size; DROP TABLE"),
    ):
        with pytest.raises(InvalidRequest, match="cannot be looked up by"):
            await store.list(query)
        with pytest.raises(InvalidRequest, match="size"):
            await store.count(query)


async def test_a_cursor_works_for_its_own_order_only(filled: Store) -> None:
    first = await filled.list(Query(PAPER, order_by="size", limit=2))
    with pytest.raises(InvalidRequest, match="belongs to the order"):
        await filled.list(Query(PAPER, order_by="-size", after=first.next))


@pytest.mark.parametrize("after", ["", "x", "ä", "AAAA", "W10", "WyJpZCIsbnVsbF0", "x" * 10_000])
async def test_a_damaged_cursor_is_refused(filled: Store, after: str) -> None:
    with pytest.raises(InvalidRequest, match="cursor"):
        await filled.list(Query(PAPER, after=after))


async def test_visible_to_needs_a_kind_whose_readers_are_indexed(store: Store) -> None:
    await store.insert(Note(id="a"))
    with pytest.raises(InvalidRequest, match="readers"):
        await store.list(Query(NOTE, visible_to=frozenset({ANN})))
    page = await store.list(Query(NOTE, visible_to=frozenset({ADMINISTRATOR})))
    assert len(page.items) == 1
