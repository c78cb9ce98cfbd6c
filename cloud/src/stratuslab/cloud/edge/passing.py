"""Passes one HTTP request to a service and its answer back, both as bounded streams.

Small bodies are passed as a whole, which is faster; larger ones piece by piece, so that neither
an image nor a slow reader fills the door's memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from stratuslab.cloud.edge.backend import Backend
from stratuslab.cloud.edge.errors import BadGateway, GatewayTimeout
from stratuslab.cloud.edge.headers import outward
from stratuslab.core.errors import StratusLabError, TooLarge, Unavailable

WHOLE_BYTES = 128 * 1024
PIECE_BYTES = 64 * 1024
_BODILESS_STATUS = frozenset({204, 304})


async def pass_on(
    request: web.Request, headers: CIMultiDict[str], backend: Backend, *, body_bytes_max: int
) -> web.StreamResponse:
    """The service's answer. Raises StratusLabError when there is none to pass back.

    An answer that breaks off half-way breaks the client's connection too: it must not look whole.
    """
    body = await _body(request, body_bytes_max)
    try:
        answer = await backend.session.request(
            request.method,
            backend.url(request.rel_url.raw_path_qs),
            headers=headers,
            data=body,
            allow_redirects=False,
        )
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise unreached(error) from error
    try:
        return await _pass_back(request, answer)
    finally:
        answer.release()


async def _body(request: web.Request, limit: int) -> bytes | AsyncIterator[bytes] | None:
    if not request.body_exists:
        return None
    length = request.content_length
    if length is not None and length > limit:
        raise _too_large(limit)
    if length is not None and length <= WHOLE_BYTES:
        return await request.read()
    return _pieces(request, limit)


async def _pieces(request: web.Request, limit: int) -> AsyncIterator[bytes]:
    received = 0
    async for piece in request.content.iter_any():
        received += len(piece)
        if received > limit:
            raise _too_large(limit)
        yield piece


async def _pass_back(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    headers = outward(answer.headers)
    length = answer.content_length
    if request.method == "HEAD" or answer.status in _BODILESS_STATUS:
        return web.Response(status=answer.status, reason=answer.reason, headers=headers)
    if length is not None and length <= WHOLE_BYTES:
        headers.popall("Content-Length", None)
        try:
            content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unreached(error) from error
        return web.Response(
            body=content, status=answer.status, reason=answer.reason, headers=headers
        )
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    await response.prepare(request)
    await _stream(request, answer, response)
    return response


async def _stream(
    request: web.Request, answer: aiohttp.ClientResponse, response: web.StreamResponse
) -> None:
    pieces = answer.content.iter_chunked(PIECE_BYTES)
    while True:
        try:
            piece = await anext(pieces, None)
        except (aiohttp.ClientError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
            return
        if piece is None:
            break
        await response.write(piece)
    await response.write_eof()


def unreached(error: BaseException) -> StratusLabError:
    """What to tell a client whose request got no answer."""
    if isinstance(error.__cause__, StratusLabError):  # raised while the body was read
        return error.__cause__
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return Unavailable("The service behind this address is not there at present.")
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError):
        return Unavailable(
            "The service behind this address went away before it answered.",
            hint="Look before you repeat a change; with an Idempotency-Key repeating is safe.",
        )
    if isinstance(error, TimeoutError):
        return GatewayTimeout(
            "The service behind this address did not answer in time.",
            hint="Look before you repeat a change; with an Idempotency-Key repeating is safe.",
        )
    return BadGateway("The service behind this address gave no proper answer.")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than the {limit} bytes that are allowed.")
