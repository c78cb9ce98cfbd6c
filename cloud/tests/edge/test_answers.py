from __future__ import annotations

from aiohttp.test_utils import TestClient

Door = TestClient  # type: ignore[type-arg]


async def test_the_landing_page_names_the_services(door: Door) -> None:
    async with door.get("/") as answer:
        body = await answer.json()
    assert body["services"] == [
        {
            "href": f"http://127.0.0.1:{door.port}/cimi",
            "about": "CIMI, the native interface of this cloud",
        }
    ]
    async with door.get("/", headers={"Accept": "text/html"}) as answer:
        text = await answer.text()
        assert answer.content_type == "text/html"
    assert f'<a href="http://127.0.0.1:{door.port}/cimi">' in text


async def test_the_landing_page_repeats_nothing_unescaped(door: Door) -> None:
    headers = {"Accept": "text/html", "Host": 'x"><script>'}
    async with door.get("/", headers=headers) as answer:
        assert "<script>" not in await answer.text()


async def test_health_and_unknown_paths(door: Door) -> None:
    async with door.get("/healthz") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "alive"})
    async with door.get("/nowhere") as answer:
        assert answer.status == 404
        assert (await answer.json())["code"] == "not-found"
