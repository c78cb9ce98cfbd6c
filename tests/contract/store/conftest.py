"""Stores to test. Another adapter joins the contract suite as one more entry of `ADAPTERS`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from contract.store.processes import OwnerProcess

from stratuslab.core.store.base import Store
from stratuslab.core.store.memory import MemoryStore
from stratuslab.core.store.sqlite import SqliteOwner, SqliteStore

OpenStore = Callable[[], Awaitable[Store]]
"""Opens one more view of the same store, as another process would."""


@pytest.fixture(scope="session")
def owner_process() -> Iterator[OwnerProcess]:
    """One process that owns the stores of all tests that want their owner elsewhere."""
    with OwnerProcess() as process:
        yield process


async def _memory(request: pytest.FixtureRequest, stack: AsyncExitStack) -> OpenStore:
    store = await stack.enter_async_context(MemoryStore())

    async def open_it() -> Store:
        return store

    return open_it


async def _sqlite(request: pytest.FixtureRequest, stack: AsyncExitStack) -> OpenStore:
    folder: Path = request.getfixturevalue("tmp_path") / "store"
    await stack.enter_async_context(SqliteOwner(folder))
    return lambda: stack.enter_async_context(SqliteStore(folder))


async def _sqlite_process(request: pytest.FixtureRequest, stack: AsyncExitStack) -> OpenStore:
    folder: Path = request.getfixturevalue("tmp_path") / "store"
    process: OwnerProcess = request.getfixturevalue("owner_process")
    process.open(folder)
    stack.callback(process.close, folder)
    return lambda: stack.enter_async_context(SqliteStore(folder))


ADAPTERS = {"memory": _memory, "sqlite": _sqlite, "sqlite-process": _sqlite_process}


@pytest.fixture(params=ADAPTERS)
async def open_another(request: pytest.FixtureRequest) -> AsyncIterator[OpenStore]:
    """Opens views of one new, empty store."""
    async with AsyncExitStack() as stack:
        yield await ADAPTERS[request.param](request, stack)


@pytest.fixture
async def store(open_another: OpenStore) -> Store:
    """A new, empty store."""
    return await open_another()
