"""The one tree of errors, with a stable code and an HTTP status class for each.

It must not import anything of the project, and must not know HTTP beyond the number: the
mapping to CIMI, to bus replies and to exit codes happens once each, at the edges.

::

    StratusLabError                    code, message, hint, details
    ├── RequestError                   the caller can mend it
    │   ├── InvalidRequest             400 syntax, types, unknown attributes, limits of a value
    │   ├── NotAuthenticated           401
    │   ├── Forbidden                  403
    │   ├── NotFound                   404 absent, or none of the caller's business
    │   ├── MethodNotAllowed           405
    │   ├── NotAcceptable              406
    │   ├── WrongState                 409 the resource cannot do that now
    │   ├── AlreadyExists              409
    │   ├── PreconditionFailed         412 If-Match did not match
    │   ├── TooLarge                   413
    │   ├── UnsupportedMediaType       415
    │   ├── IdempotencyMismatch        422 same key, other request
    │   └── TooManyRequests            429
    ├── Conflict                       409 another writer was faster; re-read (core retries it)
    ├── TransientError                 503 try again later: a reconciler retries with backoff
    │   ├── Unavailable                503 store, bus or service not reachable; nothing happened
    │   └── Ambiguous                  503 a write that may or may not have happened: re-read
    ├── PermanentError                 500 trying again changes nothing: becomes a condition
    └── ConfigurationError             start-up: settings wrong or something missing on this machine
        └── StaleStore                 the store is another one than this host has seen
"""

from __future__ import annotations

from typing import Any, ClassVar


class StratusLabError(Exception):
    """Base of every error the cloud raises on purpose.

    `message` says what happened and where, `hint` what to do next; `details` are
    machine-readable and must hold no secret.
    """

    code: ClassVar[str] = "internal-error"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class RequestError(StratusLabError):
    """The caller can mend it."""

    code = "bad-request"
    http_status = 400


class InvalidRequest(RequestError):
    """The request's syntax, types, attributes or values are wrong."""

    code = "invalid-request"


class NotAuthenticated(RequestError):
    """No credentials, or wrong ones."""

    code = "not-authenticated"
    http_status = 401


class Forbidden(RequestError):
    """The caller may see the resource but not do this."""

    code = "forbidden"
    http_status = 403


class NotFound(RequestError):
    """There is no such thing, or the caller may not know of it."""

    code = "not-found"
    http_status = 404


class MethodNotAllowed(RequestError):
    """The resource has no such operation. `details['allowed']` lists the methods."""

    code = "method-not-allowed"
    http_status = 405


class NotAcceptable(RequestError):
    """None of the representations the caller accepts exists."""

    code = "not-acceptable"
    http_status = 406


class WrongState(RequestError):
    """The resource cannot do that in its present state."""

    code = "wrong-state"
    http_status = 409


class AlreadyExists(RequestError):
    """A document with this key exists."""

    code = "already-exists"
    http_status = 409


class PreconditionFailed(RequestError):
    """If-Match or If-None-Match did not hold."""

    code = "precondition-failed"
    http_status = 412


class TooLarge(RequestError):
    """A body, document or value is over its limit."""

    code = "too-large"
    http_status = 413


class UnsupportedMediaType(RequestError):
    """The body's media type is not understood."""

    code = "unsupported-media-type"
    http_status = 415


class IdempotencyMismatch(RequestError):
    """The Idempotency-Key was used before with a different request."""

    code = "idempotency-mismatch"
    http_status = 422


class TooManyRequests(RequestError):
    """A limit of rate or number was reached; `details['retry_after_seconds']` says when."""

    code = "too-many-requests"
    http_status = 429


class Conflict(StratusLabError):
    """Another writer changed the document first: re-read and try again."""

    code = "conflict"
    http_status = 409


class TransientError(StratusLabError):
    """It may work later. `retry_after_seconds`, when given, is the least wait."""

    code = "transient"
    http_status = 503

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retry_after_seconds: float | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message, hint=hint, **details)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(TransientError):
    """Something needed cannot be reached; nothing was changed."""

    code = "unavailable"


class Ambiguous(TransientError):
    """A write that may or may not have happened: re-read and compare."""

    code = "ambiguous"


class PermanentError(StratusLabError):
    """Trying again changes nothing."""

    code = "permanent"


class ConfigurationError(StratusLabError):
    """Settings are wrong, or this machine lacks something; the service does not start."""

    code = "configuration"


class StaleStore(ConfigurationError):
    """The store is not the one, or not as new as the one, that this host has seen."""

    code = "stale-store"
