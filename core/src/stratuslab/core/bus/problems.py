"""Errors as they travel over the bus, and back.

Pure. A reply with an error carries `Nats-Service-Error` headers, for any NATS client, and this
JSON, for ours. What was not raised on purpose travels without its text: that stays in the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from stratuslab.core.errors import (
    PermanentError,
    RequestError,
    StratusLabError,
    TransientError,
    Unavailable,
)

ERROR_HEADER = "Nats-Service-Error"
ERROR_CODE_HEADER = "Nats-Service-Error-Code"
_RESERVED = frozenset({"message", "hint", "retry_after_seconds"})


class Problem(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """An error in JSON. `code` is stable, `status` the HTTP status class it belongs to."""

    code: str
    status: int
    message: str
    hint: str = ""
    retry_after_seconds: float | None = None
    details: dict[str, Any] = {}


def problem_of(error: Exception) -> Problem:
    """What the asking side may learn of this error."""
    if not isinstance(error, StratusLabError):
        return Problem(
            StratusLabError.code,
            StratusLabError.http_status,
            "The service that should have answered failed unexpectedly.",
            "Its log tells more.",
        )
    return Problem(
        error.code,
        error.http_status,
        error.message,
        error.hint,
        error.retry_after_seconds if isinstance(error, TransientError) else None,
        _plain(error.details),
    )


def _plain(details: Mapping[str, Any]) -> dict[str, Any]:
    """Details as JSON knows them; what it does not know is left out."""
    plain: dict[str, Any] = {}
    for name, value in details.items():
        try:
            plain[name] = msgspec.to_builtins(value)
        except (TypeError, ValueError):
            continue
    return plain


def headers_of(problem: Problem) -> dict[str, str]:
    """The headers of a reply that carries this problem."""
    return {
        ERROR_HEADER: quote(problem.message, safe=" ,.:;/()'_-"),
        ERROR_CODE_HEADER: str(problem.status),
    }


def error_of(headers: Mapping[str, str], body: bytes) -> StratusLabError:
    """The error that a reply with `Nats-Service-Error` headers stands for."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except msgspec.DecodeError:
        # Somebody else's service: only the headers are standard.
        return Unavailable(f"The query failed: {headers.get(ERROR_HEADER, 'no reason given')}.")
    details = {name: value for name, value in problem.details.items() if name not in _RESERVED}
    kind = _kind_by_code(problem.code) or _kind_by_status(problem.status)
    if issubclass(kind, TransientError):
        details["retry_after_seconds"] = problem.retry_after_seconds
    return kind(problem.message, hint=problem.hint, **details)


def _kind_by_code(code: str) -> type[StratusLabError] | None:
    """The error class with this code; of several, the most general."""
    return next((kind for kind in _family(StratusLabError) if kind.code == code), None)


def _kind_by_status(status: int) -> type[StratusLabError]:
    if status == 503:
        return TransientError
    return RequestError if 400 <= status < 500 else PermanentError


def _family(kind: type[StratusLabError]) -> Iterator[type[StratusLabError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)
