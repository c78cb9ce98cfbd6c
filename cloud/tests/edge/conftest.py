"""A door with a real service behind it, on a unix socket, as in a cloud of one machine."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer

from stratuslab.cloud.edge.app import create_app
from stratuslab.cloud.edge.settings import EdgeSettings
from stratuslab.core.service.handlers import serve


@dataclass
class Behind:
    """The service behind the door, and what it has seen."""

    socket: Path
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=0)
        app.router.add_get("/cimi/socket", self.socket_echo)
        app.router.add_get("/cimi/closed-socket", self.refuse)
        app.router.add_get("/cimi/document", self.document)
        app.router.add_get("/cimi/large", self.large)
        app.router.add_get("/cimi/broken", self.broken)
        app.router.add_get("/cimi/silent", self.silent)
        app.router.add_route("*", "/cimi/status/{status}", self.status)
        app.router.add_put("/cimi/digest", self.digest)
        app.router.add_route("*", "/{path:.*}", self.echo)
        return app

    async def echo(self, request: web.Request) -> web.Response:
        self.seen.append((request.method, request.raw_path, dict(request.headers)))
        headers = {"ETag": '"7"', "X-Hop": "1", "Connection": "X-Hop"}
        return web.Response(body=await request.content.read(), headers=headers)

    async def status(self, request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["status"]), headers={"Location": "/x"})

    async def document(self, request: web.Request) -> web.Response:
        return web.Response(body=b"d" * 1000)

    async def digest(self, request: web.Request) -> web.Response:
        digest, size = hashlib.sha256(), 0
        async for piece in request.content.iter_any():
            digest.update(piece)
            size += len(piece)
        return web.json_response({"sha256": digest.hexdigest(), "size": size})

    async def large(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(64):
            await response.write(bytes([number]) * 65536)
        return response

    async def broken(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(1 << 20)})
        await response.prepare(request)
        await response.write(b"x" * 1000)
        assert request.transport is not None
        request.transport.close()
        return response

    async def silent(self, request: web.Request) -> web.Response:
        self.seen.append((request.method, request.raw_path, dict(request.headers)))
        await self.waiting.wait()
        return web.Response()

    async def socket_echo(self, request: web.Request) -> web.WebSocketResponse:
        self.seen.append((request.method, request.raw_path, dict(request.headers)))
        socket = web.WebSocketResponse(protocols=["binary"])
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT and message.data == "bye":
                await socket.close(code=4001)
            elif message.type is WSMsgType.TEXT:
                await socket.send_str(message.data.upper())
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data[::-1])
        return socket

    async def refuse(self, request: web.Request) -> web.Response:
        return web.Response(status=403)


@pytest.fixture
def behind(tmp_path: Path) -> Behind:
    return Behind(tmp_path / "behind.sock")


OpenDoor = Callable[..., Awaitable[TestClient]]  # type: ignore[type-arg]


@pytest.fixture
async def open_door(behind: Behind) -> AsyncIterator[OpenDoor]:
    """Opens a door with these settings; `service=False` leaves nothing behind it."""
    async with AsyncExitStack() as stack:

        async def open_door(service: bool = True, **settings: object) -> TestClient:  # type: ignore[type-arg]
            if service:
                listen = f"unix:{behind.socket}"
                await stack.enter_async_context(serve(behind.app(), listen, shutdown_seconds=0.1))
            door = create_app(EdgeSettings(cimi=f"unix:{behind.socket}", **settings))  # type: ignore[arg-type]
            client = TestClient(TestServer(door))
            return await stack.enter_async_context(client)

        yield open_door
        behind.waiting.set()


@pytest.fixture
async def door(open_door: OpenDoor) -> TestClient:  # type: ignore[type-arg]
    return await open_door()
