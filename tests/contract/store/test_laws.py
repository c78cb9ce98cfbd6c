"""Laws: whatever is done to a store, it answers like a dictionary that does the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pytest
from contract.store.samples import PAPER, Paper, paper
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stratuslab.core.documents.frame import ADMINISTRATOR
from stratuslab.core.errors import AlreadyExists, Conflict, NotFound, StratusLabError
from stratuslab.core.store.base import (
    Insert,
    Query,
    Remove,
    Replace,
    Store,
    Stored,
    Write,
)
from stratuslab.core.store.memory import MemoryStore
from stratuslab.core.store.sqlite import SqliteOwner, SqliteStore

IDS = "abcde"
PRINCIPALS = ["user/ann", "user/bob", "role/USER"]
FIELDS = ["title", "size", "shelf", "number", "lent"]


@dataclass(frozen=True)
class Step:
    """One write. `stale`: on an old revision, where there is one."""

    operation: Literal["insert", "replace", "remove"]
    id: str
    values: dict[str, Any]
    stale: bool


values = st.fixed_dictionaries(
    {
        "title": st.sampled_from(["", "x", "y", "ß"]),
        "owner": st.sampled_from([*PRINCIPALS, ADMINISTRATOR]),
        "readers": st.sets(st.sampled_from(PRINCIPALS)).map(tuple),
        "size": st.sampled_from([-1, 0, 1, 2**40]),
        "shelf": st.sampled_from([None, "", "north", "south"]),
        "number": st.sampled_from([None, None, 1, 2, 3]),
        "lent": st.booleans(),
    }
)
steps = st.builds(
    Step,
    operation=st.sampled_from(["insert", "insert", "replace", "replace", "remove"]),
    id=st.sampled_from(IDS),
    values=values,
    stale=st.sampled_from([False, False, False, True]),
)
groups = st.lists(steps, min_size=1, max_size=4)
conditions = st.dictionaries(
    st.sampled_from(FIELDS), st.sampled_from([None, "", "x", "north", -1, 0, 1, True]), max_size=2
)
questions = st.tuples(
    conditions,
    st.none() | st.frozensets(st.sampled_from([*PRINCIPALS, "user/eve", ADMINISTRATOR])),
    st.sampled_from(["id", *FIELDS]).flatmap(lambda name: st.sampled_from([name, f"-{name}"])),
    st.integers(1, 6),
)


@dataclass
class Model:
    """What the store should hold, and every version that it ever held."""

    papers: dict[str, Paper] = field(default_factory=dict)
    present: dict[str, Stored[Paper]] = field(default_factory=dict)
    past: dict[str, Stored[Paper]] = field(default_factory=dict)
    writes: int = 0

    def was(self, step: Step) -> Stored[Paper] | None:
        """The version that the step goes on from."""
        old = self.past.get(step.id)
        return old if step.stale and old is not None else self.present.get(step.id, old)

    def failure(self, step: Step) -> type[StratusLabError] | None:
        """Why the step must fail; if it need not, it is done."""
        held = self.papers.get(step.id)
        if step.operation == "insert":
            if held is not None:
                return AlreadyExists
        elif held is None:
            return NotFound
        elif self.was(step) is not self.present[step.id]:
            return Conflict
        if step.operation == "remove":
            del self.papers[step.id]
            self.past[step.id] = self.present.pop(step.id)
            return None
        number = step.values["number"]
        others = [each for id, each in self.papers.items() if id != step.id]
        if number is not None and any(each.number == number for each in others):
            return AlreadyExists
        self.papers[step.id] = paper(step.id, **step.values)
        return None

    def answer(self, question: tuple[Any, ...]) -> list[str]:
        """The ids that a query must give, in order."""
        where, visible_to, order_by, _ = question
        name = order_by.removeprefix("-")

        def value(each: Paper, name: str) -> Any:
            return each.name if name == "title" else getattr(each, name)

        def shown(each: Paper) -> bool:
            return visible_to is None or bool(visible_to & set(each.acl.readers()))

        def holds(each: Paper) -> bool:
            return all(_same(value(each, name), asked) for name, asked in where.items())

        found = [each for each in self.papers.values() if shown(each) and holds(each)]
        found.sort(
            key=lambda each: ([] if (v := value(each, name)) is None else [v], each.id),
            reverse=order_by.startswith("-"),
        )
        return [each.id for each in found]


def _same(value: Any, asked: Any) -> bool:
    texts = isinstance(value, str) == isinstance(asked, str)
    return texts and (value is None) == (asked is None) and bool(value == asked)


@asynccontextmanager
async def sqlite() -> AsyncIterator[Store]:
    """A store in a new folder, with its owner in this process."""
    with TemporaryDirectory() as folder:
        async with (
            SqliteOwner(Path(folder), declared=[PAPER]),
            SqliteStore(Path(folder)) as store,
        ):
            yield store


@pytest.mark.parametrize("new_store", [MemoryStore, sqlite])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(work=st.lists(groups, max_size=20), asked=st.lists(questions, min_size=3, max_size=8))
async def test_a_store_answers_like_a_dictionary(
    new_store: Callable[[], AbstractAsyncContextManager[Store]],
    work: list[list[Step]],
    asked: list[tuple[Any, ...]],
) -> None:
    async with new_store() as store:
        model = Model()
        for group in work:
            model = await _do(store, model, group)
        for id in IDS:
            found = await store.find(PAPER, id)
            assert (None if found is None else found.document) == model.papers.get(id)
        assert (await store.identity()).sequence == model.writes
        assert [each.sequence for each in await store.changes(0)] == [
            number + 1 for number in range(model.writes)
        ]
        for question in asked:
            await _ask(store, model, question)


async def _do(store: Store, model: Model, group: list[Step]) -> Model:
    """The group of steps in the store and in the model, which must agree on its fate."""
    # Within a group a document that was written cannot be named by its new revision.
    ids = [step.id for step in group]
    group = [step for place, step in enumerate(group) if step.id not in ids[:place]]
    group = [each for each in group if each.operation == "insert" or model.was(each) is not None]
    trial = replace(
        model, papers=dict(model.papers), present=dict(model.present), past=dict(model.past)
    )
    writes = [_write(model, step) for step in group]
    failures = [why for step in group if (why := trial.failure(step)) is not None]
    if not group:
        return model
    if failures:
        with pytest.raises(failures[0]):
            await store.atomic(writes)
        return model
    revs = await store.atomic(writes)
    for step, rev in zip(group, revs, strict=True):
        if step.operation != "remove":
            if step.id in model.present:
                trial.past[step.id] = model.present[step.id]
            trial.present[step.id] = await store.get(PAPER, step.id)
            assert trial.present[step.id].rev == rev
    trial.writes += len(group)
    return trial


def _write(model: Model, step: Step) -> Write:
    if step.operation == "insert":
        return Insert(paper(step.id, **step.values))
    was = model.was(step)
    assert was is not None
    if step.operation == "remove":
        return Remove(was)
    return Replace(was, paper(step.id, **step.values))


async def _ask(store: Store, model: Model, question: tuple[Any, ...]) -> None:
    where, visible_to, order_by, limit = question
    expected = model.answer(question)
    query = Query(PAPER, where, visible_to, order_by)
    assert await store.count(query) == len(expected)
    ids: list[str] = []
    after: str | None = None
    while True:
        page = await store.list(replace(query, after=after, limit=limit))
        keys = await store.list_revisions(replace(query, after=after, limit=limit))
        assert [(each.document.id, each.rev) for each in page.items] == [
            (each.id, each.rev) for each in keys.items
        ]
        assert page.next == keys.next
        ids += [each.document.id for each in page.items]
        after = page.next
        if after is None:
            break
        assert len(page.items) == limit
    assert ids == expected
