"""Limits of size, number and time."""

from __future__ import annotations

import asyncio
from typing import Any

from eventually import eventually

from stratuslab.cimi_api.handlers.journal import DELAY_SECONDS
from stratuslab.core.contracts import MACHINE
from stratuslab.core.store.base import Query


async def test_a_body_over_the_limit_is_413(make_api: Any) -> None:
    api = await make_api(body_bytes_max=4096)
    before = await api.everything()
    answer = await api.admin.post("machines", {"description": "x" * 5000})
    assert answer.status == 413
    assert answer.json["code"] == "too-large"
    assert await api.everything() == before


async def test_a_header_over_the_limit_is_refused(api: Any) -> None:
    answer = await api.admin.get("machines", headers={"X-Long": "x" * 20_000})
    assert answer.status == 400


async def test_too_many_requests_at_once_are_turned_away(make_api: Any, monkeypatch: Any) -> None:
    api = await make_api(requests_in_flight_max=2)
    await api.admin.get("machines")
    gate = asyncio.Event()
    listed = api.store.list_revisions

    async def slow(query: Any) -> Any:
        await gate.wait()
        return await listed(query)

    monkeypatch.setattr(api.store, "list_revisions", slow)
    waiting = [asyncio.create_task(api.admin.get("credentials")) for _ in range(3)]
    done = await eventually(lambda: [each for each in waiting if each.done()])
    assert isinstance(done, list)
    refused = done[0].result()
    assert refused.status == 429
    assert refused.headers["Retry-After"] == "1"
    gate.set()
    statuses = sorted([(await each).status for each in waiting])
    assert statuses == [200, 200, 429]


async def test_a_change_that_takes_too_long_says_that_it_may_have_happened(
    make_api: Any, monkeypatch: Any
) -> None:
    api = await make_api(request_timeout_seconds=0.2)

    async def never(writes: Any) -> Any:
        await asyncio.sleep(60)

    monkeypatch.setattr(api.store, "atomic", never)
    answer = await api.admin.post("machineImages", {"imageLocation": "simulated:x"})
    assert answer.status == 503
    assert answer.json["code"] == "ambiguous"
    assert "Idempotency-Key" in answer.json["hint"]


async def test_a_bug_is_500_without_its_details(api: Any, monkeypatch: Any) -> None:
    await api.admin.get("machines")

    async def broken(query: Any) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(api.store, "list_revisions", broken)
    answer = await api.admin.get("credentials")
    assert answer.status == 500
    assert answer.json["code"] == "internal-error"
    assert "secret" not in answer.text


async def test_what_is_rendered_is_bounded(make_api: Any) -> None:
    api = await make_api(render_cache_entries=3)
    for _ in range(8):
        await api.admin.machine()
    listed = (await api.admin.get("machines")).json
    assert listed["count"] == len(listed["machines"]) == 8
    assert await api.store.count(Query(MACHINE)) == 8


async def test_one_line_a_request_is_logged_and_no_secret(api: Any, capsys: Any) -> None:
    capsys.readouterr()
    await api.admin.post(
        "machines",
        {
            "machineTemplate": {
                "machineConfig": {"cpu": 1, "memory": 131072},
                "machineImage": {"imageLocation": "simulated:x"},
                "userData": "c2VjcmV0",
            }
        },
    )
    await asyncio.sleep(1.5 * DELAY_SECONDS)
    output = capsys.readouterr().out
    assert output.count("request.done") == 1
    for secret in (api.admin.password, "c2VjcmV0", "Basic"):
        assert secret not in output


async def test_requests_are_counted_by_route_and_status(api: Any) -> None:
    from prometheus_client import REGISTRY

    machine = await api.admin.machine()
    labels = {"method": "GET", "route": "/cimi/machines/{id}", "status": "200"}
    unrouted = {"method": "any", "route": "unrouted", "status": "404"}

    def counted(labels: dict[str, str]) -> float:
        return REGISTRY.get_sample_value("stratuslab_cimi_requests_total", labels) or 0

    before = counted(labels), counted(unrouted)
    await api.admin.get(machine["id"])
    for path in ("/a", "/b", "/cimi/c/d/e"):
        await api.admin.get(path)
    await eventually(lambda: counted(labels) == before[0] + 1)
    await eventually(lambda: counted(unrouted) == before[1] + 3)
