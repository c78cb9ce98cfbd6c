"""Bad input: the right status, a sentence that says what and where, and nothing changed."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from stratuslab.core.errors import Unavailable

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVl x"
SIZE = {"cpu": 1, "memory": 131072}
IMAGE = {"imageLocation": "simulated:x"}


def _template(**changes: Any) -> Any:
    return {"machineTemplate": {"machineConfig": SIZE, "machineImage": IMAGE} | changes}


BODIES: list[tuple[bytes | Any, int, str]] = [
    (b"", 400, "body is empty"),
    (b"  ", 400, "body is empty"),
    (b"{", 400, "no valid JSON"),
    (b"{]", 400, "no valid JSON"),
    (b"\xff\xfe", 400, "no valid JSON"),
    (b'{"name":"\xc3\x28"}', 400, "UTF-8"),
    (b'{"name":"\\ud800"}', 400, "no valid JSON"),
    (b'{"machineTemplate":NaN}', 400, "no valid JSON"),
    (b"[]", 400, "array"),
    (b"null", 400, "null"),
    (b'"text"', 400, "str"),
    (b"[" * 100_000, 400, "array"),
    (b'{"machineTemplate":' * 50_000, 400, "machineTemplate"),
    (b'{"properties":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}", 400, "properties"),
    ({}, 400, "machineTemplate is missing"),
    ({"machineTemplate": 1}, 400, "machineTemplate"),
    ({"machineTemplate": {}}, 400, "machineConfig"),
    ({"machineTemplates": {}}, 400, "machineTemplates is no attribute"),
    ({"machineTemplates": {}}, 400, "Did you mean machineTemplate"),
    (_template(machineConfig={"cpus": 1}), 400, "machineTemplate.machineConfig.cpus"),
    (_template() | {"resourceURI": "http://schemas.dmtf.org/cimi/1/Volume"}, 400, "resourceURI"),
    (_template(machineConfig=None), 400, "machineConfig"),
    (_template(machineImage=None), 400, "machineImage"),
    (_template(machineConfig={"cpu": 1}), 400, "machineTemplate.machineConfig"),
    (_template(machineConfig=SIZE | {"cpu": 0}), 400, "machineTemplate.machineConfig.cpu"),
    (_template(machineConfig=SIZE | {"cpu": 257}), 400, "machineTemplate.machineConfig.cpu"),
    (_template(machineConfig=SIZE | {"cpu": -1}), 400, "machineTemplate.machineConfig.cpu"),
    (_template(machineConfig=SIZE | {"cpu": "2"}), 400, "machineTemplate.machineConfig.cpu"),
    (_template(machineConfig=SIZE | {"cpu": 1.5}), 400, "machineTemplate.machineConfig.cpu"),
    (_template(machineConfig=SIZE | {"cpu": 10**40}), 400, "machineTemplate.machineConfig.cpu"),
    (_template(machineConfig=SIZE | {"memory": 1}), 400, "machineTemplate.machineConfig.memory"),
    (
        _template(machineConfig=SIZE | {"memory": 4 * 1024**3 + 1}),
        400,
        "machineTemplate.machineConfig.memory",
    ),
    (_template(machineConfig=SIZE | {"cpuArch": "Z80"}), 400, "cpuArch"),
    (_template(machineConfig=SIZE | {"disks": [{"capacity": 0}]}), 400, "disks"),
    (_template(machineConfig=SIZE | {"disks": [{"capacity": 10**15}]}), 400, "disks"),
    (_template(machineConfig=SIZE | {"disks": [{"capacity": 1}] * 17}), 400, "disks"),
    (_template(machineConfig={"href": "machineConfigurations/none"}), 400, "machineConfig.href"),
    (_template(machineConfig={"href": "machineImages/x"}), 400, "machineConfig.href"),
    (_template(machineConfig={"href": "http://["}), 400, "machineConfig.href"),
    (_template(machineConfig={"href": "/cimi/machineConfigurations/../x"}), 400, "href"),
    (_template(machineConfig={"href": "x" * 3000}), 400, "machineConfig.href"),
    (_template(machineImage={"href": "machineImages/none"}), 400, "machineImage.href"),
    (_template(machineImage={}), 400, "machineImage"),
    (_template(machineImage={"href": "machineImages/a", **IMAGE}), 400, "machineImage"),
    (_template(machineImage={"imageLocation": "ftp://x"}), 400, "imageLocation"),
    (_template(href="machineTemplates/none"), 400, "machineTemplate.href"),
    (_template(initialState="PAUSED"), 400, "initialState"),
    (_template(restartPolicy="sometimes"), 400, "restartPolicy"),
    (_template(credential={}), 400, "machineTemplate.credential"),
    (_template(credential={"href": "credentials/none"}), 400, "credential.href"),
    (_template(credential={"key": "ssh-ed25519 AAAA"}), 400, "credential.key"),
    (_template(credential={"key": "-----BEGIN OPENSSH PRIVATE KEY-----"}), 400, "private key"),
    (_template(userData="%%%"), 400, "machineTemplate.userData"),
    (_template(userData=base64.b64encode(b"x" * 65537).decode()), 413, "65537 bytes"),
    (_template(userData="A" * 200_000), 400, "machineTemplate.userData"),
    (_template() | {"name": "n" * 256}, 400, "name"),
    (_template() | {"name": "a\nb"}, 400, "name"),
    (_template() | {"name": "a\0b"}, 400, "name"),
    (_template() | {"name": 7}, 400, "name"),
    (_template() | {"description": "d" * 4097}, 400, "description"),
    (_template() | {"properties": {str(n): "" for n in range(65)}}, 400, "properties"),
    (_template() | {"properties": {"k": 1}}, 400, "properties"),
    (_template() | {"properties": {"k" * 256: ""}}, 400, "properties"),
    (_template() | {"properties": {"a\0": ""}}, 400, "properties"),
    (_template() | {"acl": {"owner": "alice"}}, 400, "acl.owner"),
    (_template() | {"acl": {"owner": "user/x", "rules": [{"right": "ALL"}]}}, 400, "principal"),
    (
        _template()
        | {"acl": {"owner": "user/x", "rules": [{"principal": "user/x", "right": "ROOT"}]}},
        400,
        "right",
    ),
    (_template() | {"state": "STARTED"}, 400, "state"),
]


@pytest.mark.parametrize("case", range(len(BODIES)))
async def test_a_bad_body_is_explained_and_changes_nothing(api: Any, case: int) -> None:
    body, status, words = BODIES[case]
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    before = await api.everything()
    answer = await api.admin.ask(
        "POST", "machines", data=raw, headers={"Content-Type": "application/json"}
    )
    assert answer.status == status, answer.text
    assert words in answer.json["statusMessage"]
    assert len(answer.text) < 8000
    assert await api.everything() == before


async def test_every_error_is_a_failed_job(api: Any) -> None:
    answers = [
        await api.nobody.get("machines"),
        await api.admin.get("machines/x"),
        await api.admin.ask("PATCH", "machines"),
        await api.admin.post("machines", {}),
        await api.admin.get("/elsewhere"),
        await api.admin.get("machines", headers={"Accept": "application/xml"}),
    ]
    for answer in answers:
        body = answer.json
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["CIMI-Specification-Version"] == "1.0.1"
        assert body["resourceURI"] == "http://schemas.dmtf.org/cimi/1/Job"
        assert (body["state"], body["progress"]) == ("FAILED", 100)
        assert body["returnCode"] == 10_000 + answer.status
        assert body["statusMessage"].endswith((".", "?"))
        assert body["code"]
        assert body["targetResource"]["href"].startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("*/*", 200),
        ("application/*;q=0.5, text/html", 200),
        ("text/html, application/json;q=0.9", 200),
        ("application/xml", 406),
        ("text/html", 406),
        ("application/json;q=0", 406),
    ],
)
async def test_only_json_can_be_had(api: Any, accept: str, status: int) -> None:
    answer = await api.admin.get("machines", headers={"Accept": accept})
    assert answer.status == status


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 400),
        ("application/json; charset=utf-8", 400),
        ("application/json; charset=latin-1", 415),
        ("application/xml", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
async def test_only_json_is_understood(api: Any, content_type: str, status: int) -> None:
    before = await api.everything()
    answer = await api.admin.ask(
        "POST", "machines", data=b"{}", headers={"Content-Type": content_type}
    )
    assert answer.status == status
    assert await api.everything() == before


async def test_ids_that_are_none_are_404(api: Any) -> None:
    for id in ("x", "a" * 200, "%00", "a%2Fb", "%ff", "a b", "-"):
        for method in ("GET", "PUT", "DELETE"):
            answer = await api.admin.ask(method, f"machines/{id}", json={})
            assert answer.status in (404, 405), (method, id)


async def test_a_put_is_checked_like_a_create(api: Any) -> None:
    machine = await api.admin.machine()
    await api.settle(machine)
    before = await api.everything()
    for body, words in [
        ({"nam": "x"}, "nam is no attribute that can be written here. Did you mean name?"),
        ({"name": 1}, "name"),
        ({"properties": {"a": 1}}, "properties"),
        ({"resourceURI": "http://schemas.dmtf.org/cimi/1/Job"}, "resourceURI"),
        ({"resourceURI": 7}, "resourceURI"),
        ({"restartPolicy": "x"}, "restartPolicy"),
        ([], "array"),
    ]:
        answer = await api.admin.put(machine["id"], body)
        assert answer.status == 400, body
        assert words in answer.json["statusMessage"]
    assert await api.everything() == before


async def test_a_machine_in_creation_cannot_be_edited(api: Any) -> None:
    machine = await api.admin.machine()
    before = await api.everything()
    answer = await api.admin.put(machine["id"], {"name": "x"})
    assert answer.status == 409
    assert answer.json["code"] == "wrong-state"
    assert await api.everything() == before


@pytest.mark.parametrize(
    "body", [{"force": "yes"}, {"force": 1}, {"image": {}}, [], "x", {"properties": {"a": 1}}]
)
async def test_a_bad_action_body_changes_nothing(api: Any, body: Any) -> None:
    machine = await api.admin.machine()
    await api.settle(machine)
    before = await api.everything()
    assert (await api.admin.post(f"{machine['id']}/start", body)).status == 400
    assert await api.everything() == before


async def test_a_page_of_another_site_cannot_make_a_browser_act(api: Any) -> None:
    machine = await api.admin.machine()
    await api.settle(machine)
    before = await api.everything()
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example.org"}
    for method, path in (("POST", f"{machine['id']}/start"), ("DELETE", machine["id"])):
        assert (await api.admin.ask(method, path, headers=headers)).status == 403
    assert await api.everything() == before
    own = {"Sec-Fetch-Site": "same-origin"}
    assert (await api.admin.post(f"{machine['id']}/start", headers=own)).status == 202


async def test_an_away_store_is_503_with_a_time_to_wait(api: Any, monkeypatch: Any) -> None:
    machine = await api.admin.machine()

    async def away(*_: Any) -> Any:
        raise Unavailable("The store is away.", retry_after_seconds=3)

    for name in ("find", "revision", "atomic"):
        monkeypatch.setattr(api.store, name, away)
    for answer in (
        await api.admin.get(machine["id"]),
        await api.admin.delete(machine["id"]),
        await api.admin.post("credentials", {"credentialTemplate": {"key": KEY}}),
    ):
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "3"
        assert answer.json["code"] == "unavailable"
