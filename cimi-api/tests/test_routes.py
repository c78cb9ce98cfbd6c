"""Every route has a rule, and keeps it for everybody."""

from __future__ import annotations

import re
from typing import Any

import pytest

from stratuslab.cimi_api.handlers.routes import Route
from stratuslab.cimi_api.resources import TABLE
from stratuslab.core.contracts import JOB, MACHINE_TOMBSTONE, MachineTombstone
from stratuslab.core.contracts.job import JobState
from stratuslab.core.documents import Acl, Right, Rule
from stratuslab.core.documents.frame import ANONYMOUS
from stratuslab.core.jobs import end

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVl x"
SIZE = {"cpu": 1, "memory": 131072}
IMAGE = {"imageLocation": "simulated:x"}
NEW: dict[str, Any] = {
    "machines": {"machineTemplate": {"machineConfig": SIZE, "machineImage": IMAGE}},
    "machineTemplates": {"machineConfig": SIZE, "machineImage": IMAGE},
    "machineConfigurations": SIZE,
    "machineImages": IMAGE,
    "credentials": {"credentialTemplate": {"key": KEY}},
    "users": {"name": "new", "password": "long enough"},
}
CHANGED: dict[str, Any] = NEW | {
    "machines": {"name": "x"},
    "credentials": {"key": KEY},
    "users": {"name": "new"},
}


async def test_every_route_of_the_application_has_a_rule(api: Any) -> None:
    known = {(each.method, each.path) for each in api.routes}
    served = {
        (route.method, route.resource.canonical)
        for route in api.app.router.routes()
        if route.method != "HEAD"
    }
    assert served == {(method, _plain(path)) for method, path in known}
    for each in api.routes:
        assert each.rule.role
        if each.operation in ("edit", "delete") or each.method in ("PUT", "DELETE"):
            assert each.rule.right >= Right.MODIFY
        if each.operation == "read" and each.resource is not None:
            assert each.rule.right >= Right.VIEW


async def test_only_the_entry_point_is_for_everybody(api: Any) -> None:
    public = {each.path for each in api.routes if each.rule.role == ANONYMOUS}
    assert public == {"/cimi", "/cimi/", "/cimi/cloudEntryPoint"}
    before = await api.everything()
    for route in api.routes:
        if route.path in public:
            continue
        answer = await api.nobody.ask(route.method, _path(route, "x"), json={})
        assert answer.status == 401, (route.method, route.path)
    assert await api.everything() == before


async def test_strangers_see_nothing_and_change_nothing(api: Any) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    ids = await _one_of_each(api, alice, Right.ALL)
    before = await api.everything()
    for route in _on_items(api):
        assert route.resource is not None
        path = _path(route, ids[route.resource.collection])
        answer = await bob.ask(route.method, path, json=_body(route))
        assert answer.status == 404, (route.method, path, answer.text)
    assert await api.everything() == before


@pytest.mark.parametrize("given", [Right.VIEW, Right.MODIFY])
async def test_a_granted_right_allows_what_the_rules_say(api: Any, given: Right) -> None:
    for number, route in enumerate(_on_items(api)):
        assert route.resource is not None
        bob = await api.user(f"bob-{number}")
        ids = await _one_of_each(api, bob, given, only=route.resource.collection)
        path = _path(route, ids[route.resource.collection])
        before = await api.everything()
        answer = await bob.ask(route.method, path, json=_body(route))
        if given >= route.rule.right:
            assert answer.status not in (401, 403, 404, 405), (route.method, path, answer.text)
        else:
            assert answer.status == 403, (route.method, path, answer.text)
            assert await api.everything() == before


async def test_adding_needs_the_role_of_the_rule(api: Any) -> None:
    alice = await api.user("alice")
    for resource in TABLE:
        body = NEW.get(resource.collection)
        mine = await alice.post(resource.collection, body)
        expected = {None: 405, "role/USER": 201, "role/ADMIN": 403}[resource.add]
        assert mine.status == expected, (resource.collection, mine.text)
        if resource.add is not None:
            assert (await api.admin.post(resource.collection, body)).status == 201


async def test_options_tells_the_methods(api: Any) -> None:
    for path, allowed in {
        "/cimi": "GET, HEAD, OPTIONS",
        "/cimi/machines": "GET, HEAD, OPTIONS, POST",
        "/cimi/machines/x": "DELETE, GET, HEAD, OPTIONS, PUT",
        "/cimi/machines/x/start": "OPTIONS, POST",
        "/cimi/jobs/x": "DELETE, GET, HEAD, OPTIONS",
    }.items():
        answer = await api.admin.ask("OPTIONS", path)
        assert (answer.status, answer.headers["Allow"]) == (200, allowed), path


async def test_other_methods_are_405_with_what_there_is(api: Any) -> None:
    for method, path in [
        ("PATCH", "machines/x"),
        ("PATCH", "machines"),
        ("PUT", "machines"),
        ("DELETE", "machines"),
        ("POST", "machines/x"),
        ("GET", "machines/x/start"),
        ("POST", "/cimi"),
        ("PUT", "jobs/x"),
    ]:
        answer = await api.admin.ask(method, path)
        assert answer.status == 405, (method, path)
        assert "OPTIONS" in answer.headers["Allow"]
        assert answer.json["code"] == "method-not-allowed"


async def test_head_is_get_without_the_body(api: Any) -> None:
    machine = await api.admin.machine()
    for path in ("/cimi", "machines", machine["id"]):
        got, head = await api.admin.get(path), await api.admin.ask("HEAD", path)
        assert head.status == 200
        assert head.text == ""
        for name in ("Content-Type", "Content-Length", "ETag"):
            assert head.headers.get(name) == got.headers.get(name)


def _body(route: Route) -> Any:
    assert route.resource is not None
    return CHANGED.get(route.resource.collection) if route.method == "PUT" else None


def _on_items(api: Any) -> list[Route]:
    return [each for each in api.routes if "{id:" in each.path and each.method != "OPTIONS"]


def _plain(path: str) -> str:
    """The template without the patterns of its variables, as the router tells it."""
    return re.sub(r"\{(\w+):.*?\}(?=/|$)", r"{\1}", path)


def _path(route: Route, id: str) -> str:
    name = re.search(r"\{part:(\w+)", route.path)
    return _plain(route.path).replace("{id}", id).replace("{part}", name[1] if name else "")


async def _one_of_each(
    api: Any, someone: Any, right: Right, *, only: str | None = None
) -> dict[str, str]:
    """One resource of each type, made by the administrator, with this right for someone."""
    rules = [Rule(f"user/{someone.id}", right.name)]
    ids: dict[str, str] = {}
    for resource in TABLE:
        if only not in (None, resource.collection):
            continue
        if resource.kind is MACHINE_TOMBSTONE:
            id = "0b6cbd12-4b3c-4d25-8ad7-7f1c7a4f9d10"
            if await api.store.find(MACHINE_TOMBSTONE, id) is None:
                await api.store.insert(MachineTombstone(id=id, vmid=99))
        elif resource.kind is JOB:
            machine = await api.admin.machine()
            id = machine["job"]["href"].rpartition("/")[2]
            await api.store.update(JOB, id, lambda job: end(job, JobState.SUCCESS, "done"))
        else:
            body = NEW[resource.collection] | {}
            if resource.collection == "users":
                body["name"] = f"new-{someone.id}"
            made = await api.admin.made(resource.collection, body)
            id = made["id"].rpartition("/")[2]
            if resource.collection == "machines":
                await api.settle(made)

        def grant(document: Any) -> None:
            document.acl = Acl("role/ADMIN", rules)

        await api.store.update(resource.kind, id, grant)
        ids[resource.collection] = id
    return ids
