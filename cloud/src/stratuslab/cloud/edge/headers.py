"""Headers on their way through the door. Pure.

Owns the forwarding headers: the services behind believe them, so whatever a client sends of them
is dropped, unless the client is a proxy that the settings trust.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from multidict import CIMultiDict

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Concern one connection only (RFC 9110, 7.6.1)."""

FORWARDING = frozenset(
    {
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-real-ip",
    }
)
_NOT_INWARD = HOP_BY_HOP | FORWARDING | {"expect", "host"}
_NOT_OUTWARD = HOP_BY_HOP | {"server", "date"}

SERVER = "StratusLab"
"""Instead of the names and versions of the libraries behind."""
REQUEST_ID = "X-Request-ID"
_SENSIBLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@dataclass(frozen=True)
class Arrival:
    """How a request came in."""

    remote: str
    host: str
    scheme: str
    trusted: bool = False
    """Whether `remote` is a proxy whose forwarding headers are believed."""


def inward(headers: Mapping[str, str], arrival: Arrival) -> CIMultiDict[str]:
    """A client's headers as the service behind gets them; each has a request id."""
    dropped = _NOT_INWARD | _named_by_connection(headers)
    passed = CIMultiDict(
        [(name, value) for name, value in headers.items() if name.lower() not in dropped]
    )
    passed["Host"] = arrival.host
    passed.update(_forwarded(headers, arrival))
    if not _SENSIBLE_ID.fullmatch(passed.get(REQUEST_ID, "")):
        passed[REQUEST_ID] = secrets.token_hex(8)
    return passed


def outward(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """A service's headers as the client gets them."""
    dropped = _NOT_OUTWARD | _named_by_connection(headers)
    passed = CIMultiDict(
        [(name, value) for name, value in headers.items() if name.lower() not in dropped]
    )
    passed["Server"] = SERVER
    return passed


def _forwarded(headers: Mapping[str, str], arrival: Arrival) -> dict[str, str]:
    if not arrival.trusted:
        return {
            "X-Forwarded-For": arrival.remote,
            "X-Forwarded-Host": arrival.host,
            "X-Forwarded-Proto": arrival.scheme,
        }
    earlier = headers.get("X-Forwarded-For", "")
    return {
        "X-Forwarded-For": f"{earlier}, {arrival.remote}" if earlier else arrival.remote,
        "X-Forwarded-Host": headers.get("X-Forwarded-Host", arrival.host),
        "X-Forwarded-Proto": headers.get("X-Forwarded-Proto", arrival.scheme),
    }


def _named_by_connection(headers: Mapping[str, str]) -> frozenset[str]:
    """What the Connection header says is for this connection only."""
    connection = headers.get("Connection")
    if connection is None:
        return frozenset()
    return frozenset(word.strip().lower() for word in connection.split(","))
