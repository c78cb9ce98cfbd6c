"""Accounts."""

from __future__ import annotations

from typing import Any

import pytest

from stratuslab.core.contracts import USER


async def test_a_password_is_never_shown(api: Any) -> None:
    alice = await api.user("alice", email="a@example.org", firstName="A", lastName="B")
    hashed = (await api.store.get(USER, alice.id)).document.password_hash
    for answer in (
        await alice.get(f"users/{alice.id}"),
        await alice.get("users"),
        await api.admin.get("users"),
        await api.admin.put(f"users/{alice.id}?$select=password", {"password": "new password"}),
    ):
        assert "password" not in answer.text
        assert hashed not in answer.text
    shown = (await alice.get(f"users/{alice.id}")).json
    assert shown["resourceURI"] == "https://stratuslab.eu/cimi/1/User"
    assert (shown["name"], shown["email"], shown["firstName"]) == ("alice", "a@example.org", "A")
    assert shown["enabled"] is True


async def test_users_see_themselves_and_administrators_all(api: Any) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    listed = (await alice.get("users")).json
    assert [each["name"] for each in listed["users"]] == ["alice"]
    assert (await alice.get(f"users/{bob.id}")).status == 404
    assert (await api.admin.get("users")).json["count"] == 3


async def test_only_administrators_add_and_remove(api: Any) -> None:
    alice = await api.user("alice")
    before = await api.everything()
    body = {"name": "eve", "password": "long enough"}
    assert (await alice.post("users", body)).status == 403
    assert (await alice.delete(f"users/{alice.id}")).status == 403
    assert await api.everything() == before
    assert (await api.admin.delete(f"users/{alice.id}")).status == 200
    assert (await api.admin.get(f"users/{alice.id}")).status == 404


async def test_names_are_unique(api: Any) -> None:
    await api.user("alice")
    before = await api.everything()
    answer = await api.admin.post("users", {"name": "alice", "password": "long enough"})
    assert answer.status == 409
    assert answer.json["code"] == "already-exists"
    assert "alice" in answer.json["statusMessage"]
    assert await api.everything() == before


async def test_one_cannot_raise_oneself(api: Any) -> None:
    alice = await api.user("alice")
    shown = (await alice.get(f"users/{alice.id}")).json
    answer = await alice.put(
        f"users/{alice.id}", shown | {"roles": ["ADMIN"], "name": "root", "email": "new"}
    )
    assert answer.status == 200
    user = (await api.store.get(USER, alice.id)).document
    assert (user.roles, user.name, user.email, user.enabled) == ([], "alice", "new", True)
    grab = {"owner": f"user/{alice.id}"}
    await alice.put(f"users/{alice.id}?$select=acl", {"acl": grab})
    assert (await api.store.get(USER, alice.id)).document.acl.owner == "role/ADMIN"


async def test_an_edit_without_a_password_keeps_it(api: Any) -> None:
    alice = await api.user("alice")
    shown = (await alice.get(f"users/{alice.id}")).json
    assert (await alice.put(f"users/{alice.id}", shown)).status == 200
    user = (await api.store.get(USER, alice.id)).document
    assert user.password_version == 1
    assert (await alice.get("machines")).status == 200


async def test_the_last_administrator_stays(api: Any) -> None:
    admin = (await api.admin.get("users")).json["users"][0]
    before = await api.everything()
    for answer in (
        await api.admin.delete(admin["id"]),
        await api.admin.put(f"{admin['id']}?$select=roles", {"roles": []}),
        await api.admin.put(f"{admin['id']}?$select=enabled", {"enabled": False}),
    ):
        assert answer.status == 409
        assert "last enabled administrator" in answer.json["statusMessage"]
    assert await api.everything() == before
    await api.user("second", roles=["ADMIN"])
    assert (await api.admin.delete(admin["id"])).status == 200


async def test_who_owns_machines_stays(api: Any) -> None:
    alice = await api.user("alice")
    await alice.machine()
    answer = await api.admin.delete(f"users/{alice.id}")
    assert answer.status == 409
    assert "owns 1 machine" in answer.json["statusMessage"]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "eve"},
        {"password": "long enough"},
        {"name": "eve", "password": "short"},
        {"name": "eve", "password": "x" * 257},
        {"name": "e v", "password": "long enough"},
        {"name": "e:v", "password": "long enough"},
        {"name": "", "password": "long enough"},
        {"name": "eve", "password": "long enough", "roles": ["admin"]},
        {"name": "eve", "password": "long enough", "passwordHash": "x"},
        {"name": "eve", "password": None},
    ],
)
async def test_bad_accounts_are_refused(api: Any, body: Any) -> None:
    before = await api.everything()
    assert (await api.admin.post("users", body)).status == 400
    assert await api.everything() == before
