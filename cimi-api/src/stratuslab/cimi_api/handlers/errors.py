"""Errors as HTTP answers: one tree in, one shape out. The shape is CIMI's, a Job that failed."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from stratuslab.cimi_api.model.common import NAMESPACE, Extension, Reference
from stratuslab.cimi_api.model.job import JobRepresentation, action_uri
from stratuslab.cimi_api.rendering import MEDIA_TYPE, encode
from stratuslab.cimi_api.resources import TABLE
from stratuslab.core.documents import now
from stratuslab.core.errors import (
    InvalidRequest,
    MethodNotAllowed,
    NotAuthenticated,
    NotFound,
    StratusLabError,
    TooLarge,
    TooManyRequests,
    TransientError,
)

PROVIDER_CODES = 10_000
"""Return codes below are the standard's; ours are this plus the HTTP status."""

_PLAIN = {"GET": "read", "HEAD": "read", "PUT": "edit", "DELETE": "delete"}
_ACTIONS = frozenset(name for resource in TABLE for name in resource.actions)


class ErrorRepresentation(JobRepresentation, kw_only=True, tag=f"{NAMESPACE}/Job"):
    """A request that failed. `code` is stable, `hint` says what to do next."""

    code: Extension[str]
    hint: Extension[str] = ""


def error_response(request: web.BaseRequest, error: StratusLabError, uri: str) -> web.Response:
    """The answer for an error; `uri` is where the request went, absolute."""
    target = Reference(uri)
    body = ErrorRepresentation(
        state="FAILED",
        target_resource=target,
        affected_resources=[target],
        action=_action(request),
        return_code=PROVIDER_CODES + error.http_status,
        progress=100,
        status_message=str(error),
        time_of_status_change=now(),
        code=error.code,
        hint=error.hint,
    )
    return web.Response(
        body=encode(body),
        status=error.http_status,
        headers={"Content-Type": MEDIA_TYPE, **_headers(error)},
    )


def from_http(error: web.HTTPException, request: web.BaseRequest) -> StratusLabError:
    """The framework's own refusals in our tree."""
    where = f"{request.method} {request.path[:200]}"
    if isinstance(error, web.HTTPMethodNotAllowed):
        return MethodNotAllowed(
            f"{where}: this resource has no such operation.",
            hint=f"It has {', '.join(sorted(error.allowed_methods))}.",
            allowed=sorted(error.allowed_methods),
        )
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return TooLarge("The body is over the limit.", hint="Send a smaller one.")
    if isinstance(error, web.HTTPNotFound):
        return NotFound(
            f"{where}: there is nothing at this address.",
            hint="Start from the cloud entry point and follow its references.",
        )
    return InvalidRequest(f"{where}: {error.reason or HTTPStatus(error.status).phrase}.")


def _headers(error: StratusLabError) -> Mapping[str, str]:
    if isinstance(error, NotAuthenticated):
        return {"WWW-Authenticate": 'Basic realm="cloud", charset="UTF-8"'}
    if isinstance(error, MethodNotAllowed):
        return {"Allow": ", ".join(error.details.get("allowed", []))}
    if isinstance(error, TransientError):
        return {"Retry-After": str(max(1, round(error.retry_after_seconds or 1)))}
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(max(1, round(error.details.get("retry_after_seconds", 1))))}
    return {}


def _action(request: web.BaseRequest) -> str:
    """What was wanted, as a job names it."""
    name = request.path.rpartition("/")[2]
    if request.method == "POST" and name in _ACTIONS:
        return action_uri(name)
    return _PLAIN.get(request.method, "add")
