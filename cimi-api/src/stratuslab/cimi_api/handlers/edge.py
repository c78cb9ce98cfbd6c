"""What every request passes: admission, identity, errors, access log, metrics. One middleware."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

import structlog
from aiohttp import web

from stratuslab.cimi_api.authentication import Authenticator
from stratuslab.cimi_api.handlers.errors import error_response, from_http
from stratuslab.cimi_api.handlers.journal import Answered, Journal
from stratuslab.cimi_api.handlers.negotiation import (
    SPECIFICATION_VERSION,
    VERSION_HEADER,
    Arrivals,
    check_accept,
    check_origin,
    check_version,
)
from stratuslab.cimi_api.handlers.resource import BASE, CALLER
from stratuslab.cimi_api.handlers.routes import Handler
from stratuslab.cimi_api.metrics import REQUESTS_IN_FLIGHT
from stratuslab.cimi_api.settings import CimiSettings
from stratuslab.core.errors import Ambiguous, StratusLabError, TooManyRequests

log = structlog.get_logger()

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Edge:
    """The middleware and what it counts."""

    def __init__(
        self, settings: CimiSettings, authenticator: Authenticator, *, public_paths: frozenset[str]
    ) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._public_paths = public_paths
        self._arrivals = Arrivals(
            configured=settings.base_uri,
            trust_forwarded=settings.trust_forwarded or settings.listen.startswith("unix:"),
        )
        self.journal = Journal()
        self._in_flight = 0
        REQUESTS_IN_FLIGHT.set_function(lambda: self._in_flight)

    def middleware(self) -> Any:
        """The middleware function."""

        @web.middleware
        async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._pass(request, handler)

        return edge

    async def _pass(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        started = perf_counter()
        self._in_flight += 1
        try:
            response = await self._answer(request, handler)
        except StratusLabError as error:
            response = self._refuse(request, error)
        except web.HTTPException as error:
            response = self._refuse(request, from_http(error, request))
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("request.crashed", method=request.method, path=request.path[:500])
            response = self._refuse(
                request, StratusLabError("Something broke in the cloud; it has been logged.")
            )
        finally:
            self._in_flight -= 1
        response.headers[VERSION_HEADER] = SPECIFICATION_VERSION
        self._note(request, response, perf_counter() - started)
        return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        settings = self._settings
        if self._in_flight > settings.requests_in_flight_max:
            raise TooManyRequests(
                "The cloud is answering as many requests as it can.",
                hint="Try again in a moment.",
                retry_after_seconds=1,
            )
        request[BASE] = self._arrivals.base_uri(request)
        authorization = request.headers.get("Authorization")
        caller = self._authenticator.remembered(authorization) if authorization else None
        if caller is None and (authorization or request.path not in self._public_paths):
            caller = await self._authenticator.identify(
                authorization, self._arrivals.remote(request)
            )
        if caller is not None:
            request[CALLER] = caller
        check_accept(request)
        check_version(request)
        if request.method in _SAFE:
            return await handler(request)  # reads end by the time-outs of store and bus
        check_origin(request)
        try:
            async with asyncio.timeout(settings.request_timeout_seconds):
                return await handler(request)
        except TimeoutError as error:
            raise Ambiguous(
                f"The request took longer than {settings.request_timeout_seconds:g} seconds. It may"
                " have been carried out.",
                hint="Look before you repeat it; with an Idempotency-Key repeating is safe.",
            ) from error

    def _refuse(self, request: web.Request, error: StratusLabError) -> web.Response:
        base = request.get(BASE, "")
        origin = base.removesuffix("/cimi/")
        return error_response(request, error, f"{origin}{request.path[:1000]}")

    def _note(self, request: web.Request, response: web.StreamResponse, seconds: float) -> None:
        resource = request.match_info.route.resource
        caller = request.get(CALLER)
        self.journal.note(
            Answered(
                request.method,
                request.path,
                resource.canonical if resource is not None else None,
                response.status,
                seconds,
                caller.name if caller is not None else None,
                self._arrivals.remote(request),
            )
        )
