"""Lists: what is seen, in which order, and how it is narrowed."""

from __future__ import annotations

from typing import Any

import pytest

from stratuslab.core.store.base import MAX_PAGE


async def _images(api: Any, number: int) -> list[str]:
    """So many images; their ids in the order of the list."""
    for n in range(number):
        body = {"imageLocation": "simulated:x", "name": f"i{n}"}
        await api.admin.made("machineImages", body)
    listed = (await api.admin.get("machineImages")).json
    return [each["id"] for each in listed["machineImages"]]


async def test_items_are_as_they_are_alone(api: Any) -> None:
    machine = await api.admin.machine(name="m")
    listed = (await api.admin.get("machines")).json
    assert listed["resourceURI"] == "http://schemas.dmtf.org/cimi/1/MachineCollection"
    assert listed["count"] == 1
    assert listed["machines"] == [(await api.admin.get(machine["id"])).json]
    assert listed["operations"] == [{"rel": "add", "href": listed["id"]}]


async def test_an_empty_list_has_no_array(api: Any) -> None:
    listed = (await api.admin.get("machines")).json
    assert listed["count"] == 0
    assert "machines" not in listed


async def test_everybody_sees_his_own_and_what_is_shared(api: Any) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    hers = await alice.machine()
    his = await bob.machine()
    shared = await alice.machine(
        acl={
            "owner": f"user/{alice.id}",
            "rules": [{"principal": "role/USER", "right": "VIEW"}],
        }
    )

    async def seen(who: Any) -> set[str]:
        return {each["id"] for each in (await who.get("machines")).json["machines"]}

    assert await seen(alice) == {hers["id"], shared["id"]}
    assert await seen(bob) == {his["id"], shared["id"]}
    assert await seen(api.admin) == {hers["id"], his["id"], shared["id"]}


async def test_a_change_is_seen_at_once(api: Any) -> None:
    machine = await api.admin.machine()
    assert (await api.admin.get("machines")).json["machines"][0]["state"] == "CREATING"
    await api.settle(machine)
    assert (await api.admin.get("machines")).json["machines"][0]["state"] == "STOPPED"


@pytest.mark.parametrize(
    ("query", "positions"),
    [
        ("$first=1&$last=2", [0, 1]),
        ("$first=4", [3, 4]),
        ("$last=1", [0]),
        ("$first=5&$last=99", [4]),
        ("$first=6", []),
        ("$first=3&$last=2", []),
        ("$first=0&$last=1", [0]),
        ("$first=-5", [0, 1, 2, 3, 4]),
        ("$last=0", []),
        ("$first=999999999999", []),
    ],
)
async def test_a_part_of_a_list_says_how_many_there_are(
    api: Any, query: str, positions: list[int]
) -> None:
    ids = await _images(api, 5)
    listed = (await api.admin.get(f"machineImages?{query}")).json
    assert listed["count"] == 5
    assert [each["id"] for each in listed.get("machineImages", [])] == [
        ids[position] for position in positions
    ]


async def test_a_list_longer_than_a_page_is_read_in_parts(api: Any, monkeypatch: Any) -> None:
    ids = await _images(api, 8)
    monkeypatch.setattr("stratuslab.cimi_api.lists.MAX_PAGE", 3)
    await api.admin.machine()
    whole = (await api.admin.get("machineImages")).json
    assert whole["count"] == 8
    assert [each["id"] for each in whole["machineImages"]] == ids[:3]
    found: list[str] = []
    while len(found) < whole["count"]:
        part = (await api.admin.get(f"machineImages?$first={len(found) + 1}")).json
        found += [each["id"] for each in part["machineImages"]]
    assert found == ids
    assert [
        each["id"]
        for each in (await api.admin.get("machineImages?$first=3&$last=5")).json["machineImages"]
    ] == ids[2:5]


def test_the_largest_page_is_the_stores() -> None:
    assert MAX_PAGE == 1000


async def test_filters_of_declared_attributes(api: Any) -> None:
    one = await api.admin.machine(name="one")
    two = await api.admin.machine(name="two")
    await api.settle(two)

    async def found(text: str) -> list[str]:
        listed = (await api.admin.get("machines", params={"$filter": text})).json
        assert listed["count"] == len(listed.get("machines", []))
        return [each["id"] for each in listed.get("machines", [])]

    assert await found("name='one'") == [one["id"]]
    assert await found('name = "one"') == [one["id"]]
    assert await found("state='STOPPED'") == [two["id"]]
    assert await found("vmid=2 and name='two'") == [two["id"]]
    assert await found("vmid=2 and name='one'") == []
    assert await found("name='nothing'") == []


@pytest.mark.parametrize(
    "text",
    [
        "", "()", "name", "name=", "name=x", "name!='x'", "memory>3", "name='x' or name='y'",
        "unknown='x'", "name='x' and", "name='x' andname='y'", "name='x", "property['a']='b'",
        "vmid=3.2", "description='x'", "name='x'; drop", "name=" + "9" * 40,
    ],
)  # fmt: skip
async def test_a_filter_that_is_not_understood_is_refused(api: Any, text: str) -> None:
    answer = await api.admin.get("machines", params={"$filter": text})
    assert answer.status == 400
    assert "$filter" in answer.json["statusMessage"]


@pytest.mark.parametrize("query", ["$first=x", "$last=1.5", "$first="])
async def test_positions_are_whole_numbers(api: Any, query: str) -> None:
    assert (await api.admin.get(f"machines?{query}")).status == 400


async def test_select_leaves_only_what_was_asked_for(api: Any) -> None:
    machine = await api.admin.machine(name="m")
    listed = (await api.admin.get("machines?$select=id,name&$select=state")).json
    assert listed["machines"] == [
        {
            "resourceURI": "http://schemas.dmtf.org/cimi/1/Machine",
            "id": machine["id"],
            "name": "m",
            "state": "CREATING",
        }
    ]
    alone = (await api.admin.get(f"{machine['id']}?$select=name,unknown")).json
    assert set(alone) == {"resourceURI", "name"}
    everything = (await api.admin.get(f"{machine['id']}?$select=*")).json
    assert everything == (await api.admin.get(machine["id"])).json


async def test_unknown_parameters_are_ignored(api: Any) -> None:
    machine = await api.admin.machine()
    for path in ("machines", machine["id"]):
        plain = (await api.admin.get(path)).json
        assert (await api.admin.get(f"{path}?$expand=volumes&x=1")).json == plain


async def test_only_who_may_add_is_offered_to(api: Any) -> None:
    alice = await api.user("alice")
    assert "operations" in (await alice.get("machines")).json
    assert "operations" not in (await alice.get("users")).json
    assert "operations" in (await api.admin.get("users")).json


async def test_a_list_that_was_remembered_is_true(api: Any) -> None:
    """Whatever is written in between, by whomever, the next list shows it."""
    alice = await api.user("alice")

    async def names(who: Any) -> list[str]:
        listed = (await who.get("machineImages")).json
        return [each["name"] for each in listed.get("machineImages", [])]

    image = await api.admin.made("machineImages", {"imageLocation": "simulated:x", "name": "one"})
    for _ in range(2):
        assert await names(alice) == await names(api.admin) == ["one"]
    await api.admin.put(f"{image['id']}?$select=name", {"name": "two"})
    assert await names(alice) == await names(api.admin) == ["two"]
    await api.admin.machine()
    assert await names(alice) == await names(api.admin) == ["two"]
    await api.admin.put(f"{image['id']}?$select=acl", {"acl": {"owner": "role/ADMIN"}})
    assert (await names(alice), await names(api.admin)) == ([], ["two"])
    await api.admin.delete(image["id"])
    assert await names(api.admin) == []
