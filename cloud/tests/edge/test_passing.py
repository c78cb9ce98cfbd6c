from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from io import BytesIO

import aiohttp
import pytest
from aiohttp.test_utils import TestClient
from eventually import eventually
from yarl import URL

from stratuslab.core.service.handlers import serve

from .conftest import Behind, OpenDoor

Door = TestClient  # type: ignore[type-arg]


async def test_requests_and_answers_go_through_unchanged(door: Door, behind: Behind) -> None:
    path = "/cimi/machines/a%2Fb?$filter=name%3D'x'&$first=1"
    async with door.post(
        URL(path, encoded=True),
        data=b"\x00body",
        headers={"Authorization": "Basic eA==", "Content-Type": "application/json"},
    ) as answer:
        assert answer.status == 200
        assert await answer.read() == b"\x00body"
        assert answer.headers["ETag"] == '"7"'
        assert "X-Hop" not in answer.headers
        assert answer.headers["Server"] == "StratusLab"
    method, seen_path, headers = behind.seen[-1]
    assert (method, seen_path) == ("POST", path)
    assert headers["Authorization"] == "Basic eA=="
    assert headers["Content-Type"] == "application/json"
    assert headers["Host"] == f"127.0.0.1:{door.port}"
    assert headers["X-Forwarded-For"] == "127.0.0.1"
    assert headers["X-Forwarded-Host"] == f"127.0.0.1:{door.port}"
    assert headers["X-Forwarded-Proto"] == "http"
    assert headers["X-Request-ID"]


async def test_nothing_is_added_that_the_client_did_not_send(door: Door, behind: Behind) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"GET /cimi HTTP/1.1\r\nHost: me\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    writer.close()
    _, _, headers = behind.seen[-1]
    expected = {"Host", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-ID"}
    assert set(headers) == expected


@pytest.mark.parametrize("status", [201, 202, 204, 301, 304, 404, 409, 412, 503])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
async def test_every_status_comes_back_as_it_is(door: Door, method: str, status: int) -> None:
    async with door.request(method, f"/cimi/status/{status}", allow_redirects=False) as answer:
        assert answer.status == status
        assert answer.headers["Location"] == "/x"
        await answer.read()


async def test_a_head_tells_the_length_without_a_body(door: Door) -> None:
    async with door.head("/cimi/document") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Length"] == "1000"
        assert await answer.read() == b""


async def test_large_answers_are_streamed(door: Door) -> None:
    digest = hashlib.sha256()
    async with door.get("/cimi/large") as answer:
        async for piece in answer.content.iter_any():
            digest.update(piece)
    expected = hashlib.sha256(b"".join(bytes([number]) * 65536 for number in range(64)))
    assert digest.hexdigest() == expected.hexdigest()


@pytest.mark.parametrize("chunked", [False, True])
async def test_uploads_are_streamed(door: Door, chunked: bool) -> None:
    piece, count = b"upload--" * 8192, 200

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield piece

    headers = {} if chunked else {"Content-Length": str(len(piece) * count)}
    async with door.put("/cimi/digest", data=pieces(), headers=headers) as answer:
        body = await answer.json()
    assert body == {
        "sha256": hashlib.sha256(piece * count).hexdigest(),
        "size": len(piece) * count,
    }


async def test_a_body_over_the_limit_is_refused_told_or_not(open_door: OpenDoor) -> None:
    door = await open_door(body_mib_max=1)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100_000

    async with door.put("/cimi/digest", data=BytesIO(b"x" * 1_100_000)) as answer:
        assert answer.status == 413
        assert "larger than the 1048576 bytes" in (await answer.json())["statusMessage"]
    async with door.put("/cimi/digest", data=pieces()) as answer:
        assert answer.status == 413


async def test_without_a_service_the_client_is_told_to_come_back(open_door: OpenDoor) -> None:
    door = await open_door(service=False)
    async with door.get("/cimi", headers={"X-Request-Id": "mine"}) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
        body = await answer.json()
    assert body["code"] == "unavailable"
    assert body["requestId"] == "mine"


async def test_the_door_finds_a_service_again_that_was_away(
    open_door: OpenDoor, behind: Behind
) -> None:
    door = await open_door(service=False)
    for _ in range(2):
        async with door.get("/cimi") as answer:
            assert answer.status == 503
        async with (
            serve(behind.app(), f"unix:{behind.socket}", shutdown_seconds=0.1),
            door.get("/cimi") as answer,
        ):
            assert answer.status == 200


async def test_a_silent_service_is_given_up(open_door: OpenDoor) -> None:
    door = await open_door(answer_seconds=1.0)
    async with door.get("/cimi/silent") as answer:
        assert answer.status == 504
        assert (await answer.json())["code"] == "gateway-timeout"


async def test_an_answer_that_breaks_off_never_looks_whole(door: Door) -> None:
    with pytest.raises(aiohttp.ClientError):
        async with door.get("/cimi/broken") as answer:
            await answer.read()


async def test_overload_is_answered_instead_of_queued(open_door: OpenDoor, behind: Behind) -> None:
    door = await open_door(requests_in_flight_max=2)
    waiting = [asyncio.create_task(door.get("/cimi/silent")) for _ in range(2)]
    await eventually(lambda: len(behind.seen) == 2)
    async with door.get("/cimi/status/200") as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
    behind.waiting.set()
    for each in await asyncio.gather(*waiting):
        assert each.status == 200


async def test_a_client_that_goes_away_harms_nobody(door: Door) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"GET /cimi/large HTTP/1.1\r\nHost: me\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()
    async with door.get("/cimi/status/200") as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "request_line",
    [b"GET http://elsewhere.example/cimi HTTP/1.1", b"GET /cimi HTTP/1.1"],
)
async def test_whatever_host_is_named_only_the_service_is_asked(
    door: Door, behind: Behind, request_line: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(request_line + b"\r\nHost: elsewhere.example\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    assert behind.seen[-1][1] == "/cimi"


async def test_strange_methods_are_refused(door: Door, behind: Behind) -> None:
    async with door.request("TRACE", "/cimi") as answer:
        assert answer.status == 405
    assert behind.seen == []
