"""The same front over the store that a cloud on one machine has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stratuslab.core.contracts import MACHINE
from stratuslab.core.store.base import Query
from stratuslab.core.store.sqlite import SqliteOwner, SqliteStore

BODY = {
    "machineTemplate": {
        "machineConfig": {"cpu": 1, "memory": 131072},
        "machineImage": {"imageLocation": "simulated:tiny"},
        "userData": "aGVsbG8=",
    }
}


@pytest.fixture
async def api(tmp_path: Path, make_api: Any) -> AsyncIterator[Any]:
    folder = tmp_path / "store"
    async with SqliteOwner(folder), SqliteStore(folder) as store:
        yield await make_api(store=store)


async def test_the_life_of_a_machine(api: Any) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    machine = await alice.machine(name="m", properties={"k": "v"})
    await api.settle(machine)
    assert (await alice.get(machine["id"])).json["state"] == "STOPPED"
    assert (await bob.get(machine["id"])).status == 404
    assert (await bob.get("machines")).json["count"] == 0
    assert (await alice.get("machines")).json["count"] == 1
    for action in ("start", "pause", "suspend", "start", "restart", "stop"):
        answer = await alice.post(f"{machine['id']}/{action}")
        assert answer.status == 202, answer.text
        await api.settle(machine)
    renamed = await alice.put(f"{machine['id']}?$select=name", {"name": "other"})
    assert renamed.json["name"] == "other"
    listed = (await alice.get("machines", params={"$filter": "name='other'"})).json
    assert listed["machines"] == [(await alice.get(machine["id"])).json]
    assert (await alice.delete(machine["id"])).status == 202


async def test_of_concurrent_duplicates_one_is_carried_out(api: Any) -> None:
    answers = await asyncio.gather(
        *(api.admin.post("machines", BODY, headers={"Idempotency-Key": "k"}) for _ in range(20))
    )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["id"] for answer in answers}) == 1
    assert await api.store.count(Query(MACHINE)) == 1


async def test_numbers_are_small_and_given_once(api: Any) -> None:
    machines = await asyncio.gather(*(api.admin.machine() for _ in range(40)))
    assert sorted(machine["vmid"] for machine in machines) == list(range(1, 41))


async def test_names_of_accounts_are_unique(api: Any) -> None:
    answers = await asyncio.gather(
        *(api.admin.post("users", {"name": "alice", "password": "long enough"}) for _ in range(5))
    )
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409, 409]


async def test_positions_of_a_long_list(api: Any) -> None:
    await asyncio.gather(*(api.admin.machine(name=f"m{n}") for n in range(30)))
    whole = [each["id"] for each in (await api.admin.get("machines")).json["machines"]]
    parts: list[str] = []
    for first in (1, 11, 21):
        listed = (await api.admin.get(f"machines?$first={first}&$last={first + 9}")).json
        assert listed["count"] == 30
        parts += [each["id"] for each in listed["machines"]]
    assert parts == whole
