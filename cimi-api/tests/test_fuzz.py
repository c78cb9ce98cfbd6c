"""Whatever is sent, the answer is never a crash, and a refusal changes nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stratuslab.cimi_api.model.attributes import Body
from stratuslab.cimi_api.resources import TABLE, Resource

CREATABLE = [each for each in TABLE if each.add is not None]

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["STARTED", "simulated:x", "file:///etc/passwd", "machineImages/x", "user/x", "aGk="]
    ),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def _names(structure: type[msgspec.Struct]) -> list[str]:
    names = list(structure.__struct_encode_fields__)
    for field in msgspec.structs.fields(structure):
        for option in getattr(field.type, "__args__", (field.type,)):
            if isinstance(option, type) and issubclass(option, msgspec.Struct):
                names += option.__struct_encode_fields__
    return names


def bodies(resource: Resource[Any]) -> st.SearchStrategy[Any]:
    """Mostly plausible attributes with mostly wrong values."""
    body: type[Body] | None = resource.create_body or resource.body
    assert body is not None
    names = st.sampled_from(_names(body))
    flat = st.dictionaries(names, anything, max_size=6)
    nested = st.dictionaries(names, flat | anything, max_size=6)
    return anything | flat | nested | st.dictionaries(names, nested, max_size=3)


requests = st.sampled_from(CREATABLE).flatmap(
    lambda resource: st.tuples(st.just(resource.collection), bodies(resource))
)


raw_bodies = st.binary(max_size=200) | st.text(max_size=100).map(
    lambda text: b'{"name":' + msgspec.json.encode(text) + b"," + text.encode("utf-8", "replace")
)


def test_edits_and_actions_of_anything_never_crash(api: Any) -> None:
    """Also of bytes that are no JSON at all."""
    loop = asyncio.get_event_loop_policy().get_event_loop()

    async def prepare() -> Any:
        machine = await api.admin.machine()
        await api.settle(machine)
        return machine

    machine = loop.run_until_complete(prepare())
    encoded = bodies(TABLE[0]).map(msgspec.json.encode) | raw_bodies
    targets = st.sampled_from(
        [
            ("PUT", machine["id"]),
            ("PUT", f"{machine['id']}?$select=name,properties"),
            ("POST", f"{machine['id']}/restart"),
            ("POST", f"{machine['job']['href']}/stop"),
        ]
    )

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(targets, encoded)
    def check(target: tuple[str, str], body: bytes) -> None:
        async def send() -> None:
            headers = {"Content-Type": "application/json"}
            answer = await api.admin.ask(*target, data=body, headers=headers)
            assert answer.status in (200, 202, 400, 403, 409, 413), (answer.status, answer.text)
            assert answer.json["resourceURI"]

        loop.run_until_complete(send())

    check()


def test_creates_of_anything_never_crash(api: Any) -> None:
    """The client of the fixture lives in this loop; hypothesis wants a plain function."""
    loop = asyncio.get_event_loop_policy().get_event_loop()

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(requests)
    def check(request: tuple[str, Any]) -> None:
        async def send() -> None:
            collection, body = request
            before = await api.everything()
            answer = await api.admin.ask(
                "POST",
                collection,
                data=msgspec.json.encode(body),
                headers={"Content-Type": "application/json"},
            )
            assert answer.status in (201, 400, 403, 409, 413), (answer.status, answer.text)
            assert answer.json["resourceURI"]
            if answer.status != 201:
                assert await api.everything() == before

        loop.run_until_complete(send())

    check()
