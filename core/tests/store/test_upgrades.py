"""A store met by another version of the cloud: new fields, changed fields, fields that went."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from stratuslab.core.documents.codec import UnreadableDocument
from stratuslab.core.documents.frame import Acl, Document, Rule
from stratuslab.core.documents.kinds import Field, Kind
from stratuslab.core.errors import AlreadyExists, ConfigurationError
from stratuslab.core.store.base import Insert, Query, Store
from stratuslab.core.store.sqlite import SqliteOwner, SqliteStore
from stratuslab.core.store.sqlite.schema import BACKFILL_BATCH


class Book(Document, tag="test-book"):
    """A document whose kind is declared anew by each version."""

    pages: int = 0


NAME = Field[Book]("name", lambda b: b.name)
PAGES = Field[Book]("pages", lambda b: b.pages)
ANN = frozenset({"user/ann"})


def version(*fields: Field[Book], visible: bool = True) -> Kind[Book]:
    """The kind as one version of the cloud declares it."""
    return Kind("test-book", Book, fields, visible=visible)


def book(number: int, pages: int | None = None) -> Book:
    """A book of the cloud's that Ann may read when its number is even."""
    rules = [Rule("user/ann", "VIEW")] if number % 2 == 0 else []
    return Book(
        id=f"{number:05}",
        name=f"book {number}",
        acl=Acl(owner="role/ADMIN", rules=rules),
        pages=number if pages is None else pages,
    )


async def fill(folder: Path, kind: Kind[Book], count: int) -> None:
    """Books 0, 1, … written by the version that declares this kind."""
    async with SqliteOwner(folder, declared=[kind]), SqliteStore(folder) as store:
        for start in range(0, count, 25):
            await store.atomic([Insert(book(n)) for n in range(start, min(start + 25, count))])


async def ids(store: Store, query: Query[Book]) -> list[str]:
    return [each.document.id for each in (await store.list(query)).items]


async def test_a_new_field_is_filled_from_the_documents(tmp_path: Path) -> None:
    count = BACKFILL_BATCH * 2 + 7
    await fill(tmp_path, version(NAME), count)
    newer = version(NAME, PAGES)

    async with SqliteOwner(tmp_path, declared=[newer]), SqliteStore(tmp_path) as store:
        assert await ids(store, Query(newer, {"pages": 3})) == ["00003"]
        assert await ids(store, Query(newer, order_by="-pages", limit=1)) == [f"{count - 1:05}"]
        assert await ids(store, Query(newer, {"pages": 4}, ANN)) == ["00004"]
        assert await ids(store, Query(newer, {"pages": 3}, ANN)) == []
        assert await store.count(Query(newer, visible_to=ANN)) == (count + 1) // 2
        before = await store.identity()

        was = await store.get(newer, "00003")
        await store.replace(was, book(3, pages=-1))
        assert await ids(store, Query(newer, {"pages": -1})) == ["00003"]
        assert (await store.identity()).sequence == before.sequence + 1


async def test_an_older_version_leaves_unknown_columns_alone(tmp_path: Path) -> None:
    newer, older = version(NAME, PAGES), version(NAME)
    await fill(tmp_path, newer, 5)
    async with SqliteOwner(tmp_path, declared=[older]), SqliteStore(tmp_path) as store:
        was = await store.get(older, "00002")
        await store.replace(was, book(2, pages=77))
        await store.insert(book(9))
        assert await ids(store, Query(older, {"name": "book 2"})) == ["00002"]

    newer = version(NAME, PAGES)
    async with SqliteOwner(tmp_path, declared=[newer]), SqliteStore(tmp_path) as store:
        assert await ids(store, Query(newer, {"pages": 77})) == ["00002"]
        assert await ids(store, Query(newer, {"pages": 2})) == []
        assert await ids(store, Query(newer, {"pages": 9})) == ["00009"]


async def test_a_field_computed_in_another_way_is_computed_again(tmp_path: Path) -> None:
    await fill(tmp_path, version(PAGES), 5)
    doubled = version(Field("pages", lambda b: b.pages * 2))
    async with SqliteOwner(tmp_path, declared=[doubled]), SqliteStore(tmp_path) as store:
        assert await ids(store, Query(doubled, {"pages": 4})) == ["00002"]


async def test_readers_are_indexed_once_a_kind_becomes_visible(tmp_path: Path) -> None:
    await fill(tmp_path, version(PAGES, visible=False), 5)
    visible = version(PAGES)
    async with SqliteOwner(tmp_path, declared=[visible]), SqliteStore(tmp_path) as store:
        found = await ids(store, Query(visible, visible_to=ANN, order_by="pages"))
        assert found == ["00000", "00002", "00004"]


async def test_a_field_that_becomes_unique_is_checked(tmp_path: Path) -> None:
    await fill(tmp_path, version(NAME, PAGES), 5)
    unique = version(NAME, Field("pages", lambda b: b.pages, unique=True))
    async with SqliteOwner(tmp_path, declared=[unique]), SqliteStore(tmp_path) as store:
        with pytest.raises(AlreadyExists, match="pages 3"):
            await store.insert(book(9, pages=3))

    plain = version(NAME, PAGES)
    async with SqliteOwner(tmp_path, declared=[plain]), SqliteStore(tmp_path) as store:
        await store.insert(book(9, pages=3))
    with pytest.raises(ConfigurationError, match="test-book share a value"):
        await SqliteOwner(tmp_path, declared=[unique]).__aenter__()
    async with SqliteOwner(tmp_path, declared=[plain]), SqliteStore(tmp_path) as store:
        assert await store.count(Query(plain, {"pages": 3})) == 2


async def test_an_interrupted_upgrade_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(tmp_path, version(NAME), 10)
    newer = version(NAME, PAGES)
    module = "stratuslab.core.store.sqlite.schema"
    with monkeypatch.context() as patch:
        patch.setattr(f"{module}.BACKFILL_BATCH", 3)
        patch.setattr(f"{module}._make_indexes", None)
        with pytest.raises(TypeError):
            await SqliteOwner(tmp_path, declared=[newer]).__aenter__()
    async with SqliteOwner(tmp_path, declared=[newer]), SqliteStore(tmp_path) as store:
        assert await ids(store, Query(newer, {"pages": 8})) == ["00008"]


async def test_an_unreadable_document_is_left_alone_and_hides_no_other(tmp_path: Path) -> None:
    kind = version(NAME)
    await fill(tmp_path, kind, 4)
    database = apsw.Connection(str(tmp_path / "store.db"))
    database.execute(
        "UPDATE kind_test_book SET body = ? WHERE id = ?", (b'{"kind":"test-book"', "00001")
    )
    database.close()

    newer = version(NAME, PAGES)
    async with SqliteOwner(tmp_path, declared=[newer]), SqliteStore(tmp_path) as store:
        with pytest.raises(UnreadableDocument, match="test-book/00001"):
            await store.get(newer, "00001")
        assert await ids(store, Query(newer)) == ["00000", "00002", "00003"]
        assert list(await store.get_many(newer, ["00001", "00002"])) == ["00002"]
        assert len([each async for each in store.scan(newer)]) == 3
        assert await store.revision(newer, "00001") == "2"
        assert len((await store.list_revisions(Query(newer))).items) == 4
