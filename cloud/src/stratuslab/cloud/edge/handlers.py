"""Passes requests through to the services, both ways as streams; websockets too.

Owns forwarding headers: whatever a client sends of them is dropped, because the services behind
believe them. It must not know what the services do.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from uuid import uuid4

import aiohttp
import structlog
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from stratuslab.cloud.edge.routes import ROUTES, route_for
from stratuslab.cloud.edge.settings import EdgeSettings

log = structlog.get_logger()

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "proxy-connection",
    }
)
FORWARDING = frozenset({"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"})
WEBSOCKET_HEADERS = frozenset(
    {"sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"}
)
RETRY_AFTER_SECONDS = "2"


class Backend:
    """One service behind the door: a session and the start of its URLs."""

    def __init__(self, address: str, settings: EdgeSettings) -> None:
        path = address.removeprefix("unix:") if address.startswith("unix:") else None
        self.origin = "http://service" if path else f"http://{address}"
        connector: aiohttp.BaseConnector
        if path is not None:
            connector = aiohttp.UnixConnector(path=path, limit=256)
        else:
            connector = aiohttp.TCPConnector(limit=256)
        self.session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=settings.connect_seconds,
                sock_read=settings.answer_seconds,
            ),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )


class FrontDoor:
    """The handlers of the door."""

    def __init__(self, backends: Mapping[str, Backend]) -> None:
        self._backends = backends

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request at all."""
        route = route_for(request.path)
        if route is None:
            return welcome(request) if request.path == "/" else problem(404, "Nothing is here.")
        backend = self._backends[route.service]
        try:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._websocket(request, backend)
            return await self._pass(request, backend)
        except (aiohttp.ClientConnectorError, ConnectionRefusedError, FileNotFoundError) as error:
            log.warning("edge.unreachable", service=route.service, error=str(error))
            return problem(503, f"The service behind {route.prefix} is not there at present.")
        except aiohttp.ServerDisconnectedError:
            return problem(503, f"The service behind {route.prefix} went away; try again.")
        except TimeoutError:
            return problem(504, f"The service behind {route.prefix} did not answer in time.")
        except aiohttp.ClientError as error:
            log.warning("edge.failed", service=route.service, error=str(error))
            return problem(502, f"The service behind {route.prefix} broke off its answer.")

    async def _pass(self, request: web.Request, backend: Backend) -> web.StreamResponse:
        body = request.content if request.body_exists else None
        async with backend.session.request(
            request.method,
            backend.origin + request.raw_path,
            headers=inward(request),
            data=body,
            allow_redirects=False,
        ) as answer:
            headers = outward(answer.headers)
            length = answer.content_length
            if length is not None and length <= 262144:
                return web.Response(body=await answer.read(), status=answer.status, headers=headers)
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            async for part in answer.content.iter_chunked(65536):
                await response.write(part)
            await response.write_eof()
            return response

    async def _websocket(self, request: web.Request, backend: Backend) -> web.StreamResponse:
        protocols = [
            each.strip()
            for each in request.headers.get("Sec-WebSocket-Protocol", "").split(",")
            if each.strip()
        ]
        headers = inward(request)
        for name in WEBSOCKET_HEADERS | {"sec-websocket-protocol"}:
            headers.popall(name, None)
        async with backend.session.ws_connect(
            backend.origin + request.raw_path, headers=headers, protocols=protocols, max_msg_size=0
        ) as behind:
            chosen = [behind.protocol] if behind.protocol else []
            before = web.WebSocketResponse(protocols=chosen, max_msg_size=0)
            await before.prepare(request)
            async with asyncio.TaskGroup() as tasks:
                pumps = [
                    tasks.create_task(_pump(before, behind)),
                    tasks.create_task(_pump(behind, before)),
                ]
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                for pump in pumps:
                    pump.cancel()
            await before.close()
            return before


async def _pump(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
    sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse,
) -> None:
    async for message in source:
        if message.type is aiohttp.WSMsgType.TEXT:
            await sink.send_str(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            await sink.send_bytes(message.data)


def inward(request: web.Request) -> CIMultiDict[str]:
    """The client's headers as the service gets them."""
    dropped = HOP_BY_HOP | FORWARDING
    named = {
        each.strip().lower() for each in request.headers.get("Connection", "").split(",") if each
    }
    headers = CIMultiDict(
        (name, value)
        for name, value in request.headers.items()
        if name.lower() not in dropped and name.lower() not in named
    )
    headers["X-Forwarded-For"] = request.remote or "unknown"
    headers["X-Forwarded-Host"] = request.host
    headers["X-Forwarded-Proto"] = request.scheme
    if "X-Request-Id" not in headers or len(headers["X-Request-Id"]) > 64:
        headers["X-Request-Id"] = secrets.token_hex(8)
    return headers


def outward(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """The service's headers as the client gets them."""
    return CIMultiDict(
        (name, value)
        for name, value in headers.items()
        if name.lower() not in HOP_BY_HOP and name.lower() != "content-length"
    )


def problem(status: int, message: str) -> web.Response:
    """A failure of the door itself, in the form of CIMI's errors."""
    body = {
        "resourceURI": "http://schemas.dmtf.org/cimi/1/Job",
        "id": "",
        "state": "FAILED",
        "returnCode": status,
        "progress": 100,
        "statusMessage": message,
        "code": "not-found" if status == 404 else "unavailable",
        "requestId": str(uuid4()),
    }
    headers = {"Retry-After": RETRY_AFTER_SECONDS} if status in {502, 503, 504} else {}
    return web.json_response(body, status=status, headers=headers)


def welcome(request: web.Request) -> web.Response:
    """What stands at `/` until a service wants the place."""
    links = [{"href": f"{request.scheme}://{request.host}{route.prefix}", "about": route.about}
             for route in ROUTES]  # fmt: skip
    if "text/html" not in request.headers.get("Accept", ""):
        return web.json_response({"name": "StratusLab", "services": links})
    items = "".join(f'<li><a href="{each["href"]}">{each["about"]}</a></li>' for each in links)
    return web.Response(
        text="<!doctype html><html lang=en><title>StratusLab</title>"
        f"<h1>StratusLab</h1><p>This cloud offers:</p><ul>{items}</ul></html>",
        content_type="text/html",
        headers={"Content-Security-Policy": "default-src 'none'"},
    )
