"""The cloud entry point."""

from __future__ import annotations

from typing import Any

import pytest

from stratuslab.cimi_api.resources import TABLE


@pytest.mark.parametrize("path", ["/cimi", "/cimi/", "/cimi/cloudEntryPoint"])
async def test_anybody_can_read_it_at_all_its_addresses(api: Any, path: str) -> None:
    answer = await api.nobody.get(path)
    assert answer.status == 200
    body = answer.json
    assert body["resourceURI"] == "http://schemas.dmtf.org/cimi/1/CloudEntryPoint"
    assert body["baseURI"].endswith("/cimi/")
    assert body["id"] == body["baseURI"] + "cloudEntryPoint"
    assert body["name"]
    assert body["driver"]
    assert body["provider"]


async def test_every_collection_of_the_table_is_named_and_answers(api: Any) -> None:
    body = (await api.admin.get("/cimi")).json
    for resource in TABLE:
        href = body[resource.entry_point]["href"]
        assert href.startswith(body["baseURI"])
        collection = (await api.admin.get(href)).json
        assert collection["resourceURI"] == f"{resource.type_uri}Collection"
        assert collection["id"] == href


async def test_wrong_credentials_are_refused_even_here(api: Any) -> None:
    answer = await api.nobody.get("/cimi", headers={"Authorization": "Basic eDp5"})
    assert answer.status == 401


async def test_a_configured_base_uri_wins_over_the_host_header(make_api: Any) -> None:
    api = await make_api(base_uri="https://cloud.example.org/cimi/")
    body = (await api.nobody.get("/cimi")).json
    assert body["machines"]["href"] == "https://cloud.example.org/cimi/machines"


async def test_forwarded_headers_count_only_where_they_are_trusted(make_api: Any) -> None:
    headers = {"X-Forwarded-Host": "cloud.example.org", "X-Forwarded-Proto": "https"}
    trusting = await make_api(trust_forwarded=True)
    body = (await trusting.nobody.get("/cimi", headers=headers)).json
    assert body["baseURI"] == "https://cloud.example.org/cimi/"
    careful = await make_api()
    body = (await careful.nobody.get("/cimi", headers=headers)).json
    assert body["baseURI"].startswith("http://127.0.0.1:")


async def test_a_host_header_that_is_none_is_refused(api: Any) -> None:
    answer = await api.nobody.get("/cimi", headers={"Host": 'x"}<script>'})
    assert answer.status == 400


async def test_select_leaves_only_what_was_asked_for(api: Any) -> None:
    answer = await api.nobody.get("/cimi?$select=name,baseURI")
    assert set(answer.json) == {"resourceURI", "name", "baseURI"}


@pytest.mark.parametrize(
    ("wanted", "status"),
    [("1.0.1", 200), ("1.0", 200), ("2.0.0, 1.0", 200), ("2.0.0", 400), ("1", 400), ("x", 400)],
)
async def test_the_version_of_the_standard_is_negotiated(
    api: Any, wanted: str, status: int
) -> None:
    answer = await api.nobody.get("/cimi", headers={"CIMI-Specification-Version": wanted})
    assert answer.status == status
    assert answer.headers["CIMI-Specification-Version"] == "1.0.1"
