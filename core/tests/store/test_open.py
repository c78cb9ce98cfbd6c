"""The store that a setting names."""

from __future__ import annotations

from pathlib import Path

import pytest
from contract.store.samples import PAPER, paper

from stratuslab.core.errors import ConfigurationError
from stratuslab.core.store.memory import MemoryStore
from stratuslab.core.store.open import open_store
from stratuslab.core.store.sqlite import SqliteOwner


async def test_memory_is_a_store_of_its_own() -> None:
    async with open_store("memory:") as store:
        assert isinstance(store, MemoryStore)
        await store.insert(paper("a"))


@pytest.mark.parametrize("slashes", ["/", "///"])
async def test_a_folder_is_a_store_served_by_its_owner(tmp_path: Path, slashes: str) -> None:
    url = f"sqlite:{slashes}{str(tmp_path).lstrip('/')}"
    async with SqliteOwner(tmp_path), open_store(url) as store:
        await store.insert(paper("a"))
        assert (await store.get(PAPER, "a")).document.id == "a"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite:relative/folder", "no absolute folder"),
        ("sqlite:", "no absolute folder"),
        ("couchbase://db.example.org", "Couchbase adapter, which is not installed"),
        ("couchbases://db.example.org", "Couchbase adapter"),
        ("postgres://x", "no kind of store"),
        ("memory:x", "no kind of store"),
        ("", "no kind of store"),
    ],
)
def test_what_cannot_be_opened_is_explained(url: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as refused:
        open_store(url)
    assert refused.value.hint
