"""What a request says about itself: base URI, formats, version of the standard, body."""

from __future__ import annotations

import re

from aiohttp import web

from stratuslab.cimi_api.model.references import ROOT
from stratuslab.core.errors import Forbidden, InvalidRequest, NotAcceptable, UnsupportedMediaType

SPECIFICATION_VERSION = "1.0.1"
VERSION_HEADER = "CIMI-Specification-Version"

_ACCEPTED = frozenset({"*/*", "application/*", "application/json"})
_HOST = re.compile(r"[A-Za-z0-9._~-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_MAX_KNOWN = 64
_VERSION = re.compile(r"(\d+\.\d+)(?:\.(\d+))?")


class Arrivals:
    """How requests arrive: under which absolute URI the client sees all resources, and from
    where. The front door's headers are believed only if told so."""

    def __init__(self, *, configured: str, trust_forwarded: bool) -> None:
        self._configured = configured
        self._trust_forwarded = trust_forwarded
        self._known: dict[tuple[str, str], str] = {}

    def base_uri(self, request: web.BaseRequest) -> str:
        """The base URI for this client, ending in "/": the configured one, else the host it
        spoke to.

        Raises InvalidRequest when the client's host name cannot be part of a URI.
        """
        if self._configured:
            return self._configured
        headers = request.headers
        host, scheme = headers.get("Host", "localhost"), request.scheme
        if self._trust_forwarded:
            host = headers.get("X-Forwarded-Host", host)
            scheme = headers.get("X-Forwarded-Proto", scheme)
        found = self._known.get((scheme, host))
        if found is None:
            found = _base_uri(scheme.split(",")[0].strip(), host.split(",")[0].strip())
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[scheme, host] = found
        return found

    def remote(self, request: web.BaseRequest) -> str:
        """The client's address, empty when it is not known."""
        if self._trust_forwarded:
            forwarded = request.headers.get("X-Forwarded-For")
            if forwarded is not None:
                return forwarded.rpartition(",")[2].strip()[:64]
        return request.remote or ""


def _base_uri(scheme: str, host: str) -> str:
    if not _HOST.fullmatch(host) or scheme not in ("http", "https"):
        raise InvalidRequest("The Host header is no host name.", hint="Send host or host:port.")
    return f"{scheme}://{host}/{ROOT}/"


def check_accept(request: web.BaseRequest) -> None:
    """Raises NotAcceptable when the client does not take JSON."""
    accept = request.headers.get("Accept")
    if accept is not None and accept not in _ACCEPTED and not _takes_json(accept):
        raise NotAcceptable(
            f"Accept is {accept[:200]!r}, but only application/json can be had.",
            hint="Send Accept: application/json.",
        )


def check_origin(request: web.BaseRequest) -> None:
    """Raises Forbidden when a page of another site makes a browser change something here.

    Browsers send remembered Basic credentials along with such requests.
    """
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise Forbidden(
            "The request was made by a page of another site.",
            hint="Use the cloud's own pages, or a program that is no browser.",
        )


def check_version(request: web.BaseRequest) -> None:
    """Raises InvalidRequest when the client accepts no version of the standard that is served."""
    wanted = request.headers.get(VERSION_HEADER)
    if wanted is not None and not any(map(_served, wanted.split(","))):
        raise InvalidRequest(
            f"{VERSION_HEADER} is {wanted[:100]!r}; served is {SPECIFICATION_VERSION}.",
            hint=f"Send {SPECIFICATION_VERSION}, or leave the header out.",
        )


async def read_body(request: web.Request) -> bytes:
    """The whole body. Raises UnsupportedMediaType, or TooLarge through the framework."""
    body = await request.read()
    if body and "Content-Type" in request.headers and request.content_type != "application/json":
        raise UnsupportedMediaType(
            f"The body is {request.content_type}; only application/json is understood.",
            hint="Send JSON with Content-Type: application/json.",
        )
    charset = request.charset if body else None
    if charset is not None and charset.lower() not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType(f"The body's charset is {charset}; only UTF-8 is understood.")
    return body


def _takes_json(accept: str) -> bool:
    for each in accept.split(","):
        media, *parameters = (part.strip() for part in each.split(";"))
        refused = any(re.fullmatch(r"q=0(\.0*)?", parameter) for parameter in parameters)
        if media.lower() in _ACCEPTED and not refused:
            return True
    return False


def _served(version: str) -> bool:
    match = _VERSION.fullmatch(version.strip())
    if match is None:
        return False
    major_minor, _, update = SPECIFICATION_VERSION.rpartition(".")
    return match[1] == major_minor and match[2] in (None, update)
