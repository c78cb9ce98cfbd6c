"""The one handler of the door: finds the service, passes the request on, counts.

It must not know what the services do.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from aiohttp import web
from prometheus_client import Counter

from stratuslab.cloud.edge.answers import healthy, landing, problem
from stratuslab.cloud.edge.backend import Backend
from stratuslab.cloud.edge.headers import REQUEST_ID, Arrival, inward
from stratuslab.cloud.edge.metrics import IN_FLIGHT, REQUESTS
from stratuslab.cloud.edge.passing import pass_on
from stratuslab.cloud.edge.routes import Route, route_for
from stratuslab.cloud.edge.settings import EdgeSettings
from stratuslab.cloud.edge.websockets import is_websocket, pass_websocket
from stratuslab.core.errors import (
    MethodNotAllowed,
    NotFound,
    StratusLabError,
    TransientError,
    Unavailable,
)

log = structlog.get_logger()

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OWN = "door"
"""The name of the door among the services it counts for."""
_MIB = 1024 * 1024


class FrontDoor:
    """Handles every request of one address."""

    def __init__(self, settings: EdgeSettings, backends: Mapping[str, Backend]) -> None:
        self._settings = settings
        self._backends = backends
        self._trusted = frozenset(settings.trusted_proxies)
        self._body_bytes_max = settings.body_mib_max * _MIB
        self._in_flight = 0
        self._failing: set[str] = set()
        self._counters: dict[tuple[str, int], Counter] = {}
        IN_FLIGHT.set_function(lambda: self._in_flight)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request at all."""
        route = route_for(request.path)
        if route is None:
            response: web.StreamResponse = _own_answer(request)
        else:
            response = await self._pass(request, route)
        self._count(route.service if route is not None else OWN, response.status)
        return response

    async def _pass(self, request: web.Request, route: Route) -> web.StreamResponse:
        remote = request.remote or "unknown"
        arrival = Arrival(remote, request.host, request.scheme, trusted=remote in self._trusted)
        headers = inward(request.headers, arrival)
        request_id = headers[REQUEST_ID]
        self._in_flight += 1
        try:
            self._check(request)
            backend = self._backends[route.service]
            if is_websocket(request):
                response = await pass_websocket(request, headers, backend)
            else:
                response = await pass_on(
                    request, headers, backend, body_bytes_max=self._body_bytes_max
                )
        except StratusLabError as error:
            if isinstance(error, TransientError):
                self._lost(route.service, error, request_id)
            return problem(error, request_id)
        else:
            self._regained(route.service)
            return response
        finally:
            self._in_flight -= 1

    def _lost(self, service: str, error: TransientError, request_id: str) -> None:
        """Logs the first failure of an outage; the counter knows how many there were."""
        if service not in self._failing:
            self._failing.add(service)
            cause = repr(error.__cause__ or error)
            log.warning("edge.service_failing", to=service, cause=cause, request_id=request_id)

    def _regained(self, service: str) -> None:
        if service in self._failing:
            self._failing.discard(service)
            log.info("edge.service_regained", to=service)

    def _count(self, service: str, status: int) -> None:
        counter = self._counters.get((service, status))
        if counter is None:
            counter = self._counters[service, status] = REQUESTS.labels(service, str(status))
        counter.inc()

    def _check(self, request: web.Request) -> None:
        """Raises StratusLabError for what is not passed on at all."""
        if request.method not in METHODS:
            raise MethodNotAllowed(f"{request.method[:20]} is no method of this cloud.")
        if self._in_flight > self._settings.requests_in_flight_max:
            raise Unavailable("The front door has as many requests as it can hold.")


def _own_answer(request: web.Request) -> web.Response:
    if request.path == "/":
        return landing(request)
    if request.path == "/healthz":
        return healthy()
    return problem(NotFound("There is nothing at this address."))
