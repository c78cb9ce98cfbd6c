"""Passes a websocket through: messages both ways until either side closes."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from stratuslab.cloud.edge.backend import Backend
from stratuslab.cloud.edge.errors import BadGateway
from stratuslab.cloud.edge.passing import unreached
from stratuslab.core.errors import Forbidden, NotAuthenticated, NotFound, StratusLabError

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
HEARTBEAT_SECONDS = 30.0
_OWN = (
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Protocol",
)

_REFUSALS: dict[int, type[StratusLabError]] = {
    401: NotAuthenticated,
    403: Forbidden,
    404: NotFound,
}

Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


def is_websocket(request: web.Request) -> bool:
    """Whether the client asks for a websocket."""
    return request.headers.get("Upgrade", "").lower() == "websocket"


async def pass_websocket(
    request: web.Request, headers: CIMultiDict[str], backend: Backend
) -> web.StreamResponse:
    """Returns when the websocket is closed. Raises StratusLabError if the service refuses it."""
    offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
    for name in _OWN:
        headers.popall(name, None)
    try:
        behind = await backend.session.ws_connect(
            backend.url(request.rel_url.raw_path_qs),
            headers=headers,
            protocols=[each.strip() for each in offered if each.strip()],
            heartbeat=HEARTBEAT_SECONDS,
            max_msg_size=MESSAGE_BYTES_MAX,
        )
    except aiohttp.WSServerHandshakeError as error:
        raise _refused(error.status) from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise unreached(error) from error
    async with behind:
        before = web.WebSocketResponse(
            protocols=[behind.protocol] if behind.protocol else [],
            heartbeat=HEARTBEAT_SECONDS,
            max_msg_size=MESSAGE_BYTES_MAX,
        )
        await before.prepare(request)
        await _both_ways(before, behind)
    return before


async def _both_ways(
    before: web.WebSocketResponse, behind: aiohttp.ClientWebSocketResponse
) -> None:
    async with asyncio.TaskGroup() as tasks:
        pumps = (
            tasks.create_task(_pump(before, behind)),
            tasks.create_task(_pump(behind, before)),
        )
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
    await before.close(code=behind.close_code or aiohttp.WSCloseCode.OK)


async def _pump(source: Socket, sink: Socket) -> None:
    with suppress(ConnectionError, aiohttp.ClientError):
        async for message in source:
            if message.type is aiohttp.WSMsgType.TEXT:
                await sink.send_str(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await sink.send_bytes(message.data)


def _refused(status: int) -> StratusLabError:
    return _REFUSALS.get(status, BadGateway)("The service behind refused the websocket.")
