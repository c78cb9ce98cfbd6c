"""What a new cloud begins with."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

from stratuslab.cimi_api.first_start import INSTANCE_TYPES, ensure_first_start, keep_password
from stratuslab.core.contracts import MACHINE_CONFIGURATION, USER
from stratuslab.core.errors import ConfigurationError, Unavailable
from stratuslab.core.security.passwords import PasswordHashes
from stratuslab.core.store.base import Query
from stratuslab.core.store.memory import MemoryStore


@pytest.fixture
def passwords() -> Any:
    hashes = PasswordHashes()
    yield hashes
    hashes.close()


async def test_the_password_is_in_the_file_and_nowhere_else(
    tmp_path: Path, passwords: PasswordHashes, capsys: Any
) -> None:
    store, file = MemoryStore(), tmp_path / "folder" / "password"
    assert await ensure_first_start(store, passwords, file)
    password = file.read_text().strip()
    assert len(password) >= 16
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["password"]
    admin = (await store.list(Query(USER, {"name": "admin"}))).items[0]
    assert admin.document.roles == ["ADMIN"]
    assert await passwords.matches(password, admin.document.password_hash)
    assert password not in admin.body.decode()
    output = capsys.readouterr()
    assert password not in output.out + output.err


async def test_any_number_of_fronts_start_at_once(
    tmp_path: Path, passwords: PasswordHashes
) -> None:
    store, file = MemoryStore(), tmp_path / "password"
    results = await asyncio.gather(*(ensure_first_start(store, passwords, file) for _ in range(5)))
    assert sorted(results) == [False] * 4 + [True]
    assert await store.count(Query(USER)) == 1
    assert await store.count(Query(MACHINE_CONFIGURATION)) == len(INSTANCE_TYPES)
    admin = (await store.list(Query(USER))).items[0].document
    assert await passwords.matches(file.read_text().strip(), admin.password_hash)


async def test_what_was_removed_or_changed_stays_so(
    tmp_path: Path, passwords: PasswordHashes
) -> None:
    store, file = MemoryStore(), tmp_path / "password"
    await ensure_first_start(store, passwords, file)
    page = await store.list(Query(MACHINE_CONFIGURATION))
    await store.remove(page.items[0])
    changed = page.items[1].document
    changed.cpu = 99
    await store.replace(page.items[1], changed)
    assert not await ensure_first_start(store, passwords, file)
    assert await store.count(Query(MACHINE_CONFIGURATION)) == len(INSTANCE_TYPES) - 1
    assert (await store.get(MACHINE_CONFIGURATION, changed.id)).document.cpu == 99


async def test_an_interrupted_start_goes_on_with_its_password(
    tmp_path: Path, passwords: PasswordHashes, monkeypatch: Any
) -> None:
    store, file = MemoryStore(), tmp_path / "password"

    async def unreachable(writes: Any) -> Any:
        raise Unavailable("The store is away.")

    with monkeypatch.context() as patch:
        patch.setattr(store, "atomic", unreachable)
        with pytest.raises(Unavailable):
            await ensure_first_start(store, passwords, file)
    password = file.read_text()
    assert await ensure_first_start(store, passwords, file)
    assert file.read_text() == password


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ConfigurationError, match="admin_password_file"):
        keep_password(blocked / "password")


async def test_names_and_sizes_follow_from_the_table(
    tmp_path: Path, passwords: PasswordHashes
) -> None:
    one, two = MemoryStore(), MemoryStore()
    for store in (one, two):
        await ensure_first_start(store, passwords, tmp_path / "password")
    ids = [
        [each.document.id for each in (await store.list(Query(MACHINE_CONFIGURATION))).items]
        for store in (one, two)
    ]
    assert ids[0] == ids[1]
