"""What the door says itself: failures, health, and what stands at `/` until a service wants it."""

from __future__ import annotations

from html import escape

import msgspec
from aiohttp import web

from stratuslab.cloud.edge.headers import SERVER
from stratuslab.cloud.edge.routes import ROUTES
from stratuslab.core.errors import StratusLabError, TransientError

RETRY_AFTER_SECONDS = "1"
_PROVIDER_CODES = 10_000
"""CIMI keeps the return codes below for itself."""
_HEADERS = {
    "Server": SERVER,
    "Content-Security-Policy": "default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}


def problem(error: StratusLabError, request_id: str = "") -> web.Response:
    """A failure of the door itself, in the form of CIMI's errors: a Job that failed."""
    body = {
        "resourceURI": "http://schemas.dmtf.org/cimi/1/Job",
        "state": "FAILED",
        "returnCode": _PROVIDER_CODES + error.http_status,
        "progress": 100,
        "statusMessage": str(error),
        "code": error.code,
        "hint": error.hint,
        "requestId": request_id,
    }
    response = _json(body, status=error.http_status)
    if isinstance(error, TransientError):
        response.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return response


def healthy() -> web.Response:
    """The door itself is open; it says nothing of the services behind."""
    return _json({"status": "alive"})


def landing(request: web.Request) -> web.Response:
    """The services of this cloud, for people and for programs."""
    origin = f"{request.scheme}://{request.host}"
    services = [{"href": f"{origin}{route.prefix}", "about": route.about} for route in ROUTES]
    if "text/html" not in request.headers.get("Accept", ""):
        return _json({"name": "StratusLab", "services": services})
    items = "".join(
        f'<li><a href="{escape(each["href"])}">{escape(each["about"])}</a></li>'
        for each in services
    )
    return web.Response(
        text="<!doctype html><html lang=en><meta charset=utf-8><title>StratusLab</title>"
        f"<h1>StratusLab</h1><p>This cloud offers:</p><ul>{items}</ul></html>",
        content_type="text/html",
        headers=_HEADERS,
    )


def _json(content: object, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content),
        status=status,
        content_type="application/json",
        headers=_HEADERS,
    )
