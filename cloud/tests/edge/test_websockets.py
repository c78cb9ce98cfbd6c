from __future__ import annotations

import aiohttp
import pytest
from aiohttp.test_utils import TestClient

from .conftest import Behind, OpenDoor

Door = TestClient  # type: ignore[type-arg]


async def test_messages_go_both_ways_and_the_close_code_comes_through(
    door: Door, behind: Behind
) -> None:
    async with door.ws_connect("/cimi/socket?token=1", protocols=["binary"]) as socket:
        assert socket.protocol == "binary"
        await socket.send_str("hello")
        assert await socket.receive_str() == "HELLO"
        await socket.send_bytes(bytes(range(256)) * 100)
        assert await socket.receive_bytes() == (bytes(range(256)) * 100)[::-1]
        await socket.send_str("bye")
        message = await socket.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 4001
    _, path, headers = behind.seen[-1]
    assert path == "/cimi/socket?token=1"
    assert headers["X-Forwarded-For"] == "127.0.0.1"


async def test_a_service_that_refuses_is_heard(door: Door) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await door.ws_connect("/cimi/closed-socket")
    assert refused.value.status == 403


async def test_without_a_service_there_is_no_websocket(open_door: OpenDoor) -> None:
    door = await open_door(service=False)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await door.ws_connect("/cimi/socket")
    assert refused.value.status == 503
