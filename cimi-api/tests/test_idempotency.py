"""The same request again, with the same key."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from stratuslab.core.contracts import CLAIM, MACHINE
from stratuslab.core.store.base import Query

BODY = {
    "machineTemplate": {
        "machineConfig": {"cpu": 1, "memory": 131072},
        "machineImage": {"imageLocation": "simulated:tiny"},
        "userData": "aGVsbG8=",
    }
}


async def _count(api: Any) -> int:
    return int(await api.store.count(Query(MACHINE)))


async def test_a_repeated_create_gets_the_first_answer(api: Any) -> None:
    key = {"Idempotency-Key": "k1"}
    first = await api.admin.post("machines", BODY, headers=key)
    second = await api.admin.post("machines", BODY, headers=key)
    assert (first.status, second.status) == (201, 201)
    assert second.json == first.json
    for name in ("Location", "CIMI-Job-URI", "ETag"):
        assert second.headers[name] == first.headers[name]
    assert "Idempotent-Replay" not in first.headers
    assert second.headers["Idempotent-Replay"] == "true"
    assert await _count(api) == 1


async def test_the_same_key_for_another_request_is_refused(api: Any) -> None:
    key = {"Idempotency-Key": "k1"}
    await api.admin.post("machines", BODY, headers=key)
    before = await api.everything()
    other = await api.admin.post("machines", BODY | {"name": "other"}, headers=key)
    assert other.status == 422
    assert other.json["code"] == "idempotency-mismatch"
    elsewhere = await api.admin.post("machineTemplates", BODY, headers=key)
    assert elsewhere.status == 422
    assert await api.everything() == before


async def test_of_concurrent_duplicates_one_is_carried_out(api: Any) -> None:
    key = {"Idempotency-Key": "k1"}
    answers = await asyncio.gather(
        *(api.admin.post("machines", BODY, headers=key) for _ in range(12))
    )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["id"] for answer in answers}) == 1
    assert await _count(api) == 1


async def test_keys_of_different_users_never_meet(api: Any) -> None:
    alice = await api.user("alice")
    key = {"Idempotency-Key": "k1"}
    first = await api.admin.post("machines", BODY, headers=key)
    second = await alice.post("machines", BODY, headers=key)
    assert second.status == 201
    assert second.json["id"] != first.json["id"]


async def test_a_refused_request_leaves_its_key_free(api: Any) -> None:
    key = {"Idempotency-Key": "k1"}
    assert (await api.admin.post("machines", {"wrong": 1}, headers=key)).status == 400
    assert (await api.admin.post("machines", BODY, headers=key)).status == 201


async def test_an_action_is_carried_out_once_too(api: Any) -> None:
    machine = await api.admin.machine()
    await api.settle(machine)
    key = {"Idempotency-Key": "k1"}
    first = await api.admin.post(f"{machine['id']}/start", headers=key)
    await api.settle(machine)
    second = await api.admin.post(f"{machine['id']}/start", headers=key)
    assert (first.status, second.status) == (202, 202)
    assert second.json["id"] == first.json["id"]
    assert second.headers["Idempotent-Replay"] == "true"
    other = await api.admin.post(f"{machine['id']}/stop", headers=key)
    assert other.status == 422


async def test_of_concurrent_duplicates_of_an_action_one_is_carried_out(api: Any) -> None:
    machine = await api.admin.machine()
    await api.settle(machine)
    key = {"Idempotency-Key": "k1"}
    answers = await asyncio.gather(
        *(api.admin.post(f"{machine['id']}/start", headers=key) for _ in range(8))
    )
    assert {answer.status for answer in answers} == {202}
    assert len({answer.json["id"] for answer in answers}) == 1
    assert (await api.stored(machine)).generation == 2


async def test_the_record_is_kept_a_day_and_then_void(api: Any) -> None:
    key = {"Idempotency-Key": "k1"}
    first = await api.admin.post("machines", BODY, headers=key)
    record = next(
        each.document
        for each in (await api.store.list(Query(CLAIM))).items
        if each.document.id.startswith("idempotency/")
    )
    assert record.keep_until - record.created == timedelta(days=1)
    assert record.holder == f"machine/{first.json['id'].rpartition('/')[2]}"

    def expire(claim: Any) -> None:
        claim.deadline = claim.keep_until = claim.created - timedelta(seconds=1)

    await api.store.update(CLAIM, record.id, expire)
    second = await api.admin.post("machines", BODY, headers=key)
    assert second.json["id"] != first.json["id"]


async def test_what_was_made_and_is_gone_is_not_made_again(api: Any) -> None:
    key = {"Idempotency-Key": "k1"}
    image = {"imageLocation": "simulated:x"}
    first = await api.admin.post("machineImages", image, headers=key)
    assert (await api.admin.delete(first.json["id"])).status == 200
    again = await api.admin.post("machineImages", image, headers=key)
    assert again.status == 404
    assert (await api.admin.get("machineImages")).json["count"] == 0


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "käse"])
async def test_a_key_that_is_none_is_refused(api: Any, key: str) -> None:
    answer = await api.admin.post("machines", BODY, headers={"Idempotency-Key": key})
    assert answer.status == 400
    assert "Idempotency-Key" in answer.json["statusMessage"]
    assert await _count(api) == 0
