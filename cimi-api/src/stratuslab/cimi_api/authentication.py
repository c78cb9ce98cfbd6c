"""Who is asking: HTTP Basic against the accounts, remembered for as long as it stays true.

A login that was found good is remembered under a keyed hash of its header. The account's
revision is looked at again every half second, so that a new password, a disabled or a removed
account counts in every process within a second.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass
from hashlib import blake2b
from time import monotonic

from stratuslab.cimi_api.metrics import LOGINS_REFUSED
from stratuslab.cimi_api.plan import Caller
from stratuslab.cimi_api.ports import Passwords
from stratuslab.core.contracts import USER, User
from stratuslab.core.errors import NotAuthenticated
from stratuslab.core.store import Query, Store, Stored

RECHECK_SECONDS = 0.5

_MAX_HEADER = 2048


@dataclass(slots=True)
class _Login:
    """A login that was found good."""

    caller: Caller
    rev: str
    password_version: int
    checked: float


class Authenticator:
    """Turns Authorization headers into callers."""

    def __init__(self, store: Store, passwords: Passwords, *, max_logins: int) -> None:
        self._store = store
        self._passwords = passwords
        self._max_logins = max_logins
        self._key = secrets.token_bytes(32)
        self._logins: dict[bytes, _Login] = {}

    def remembered(self, authorization: str) -> Caller | None:
        """The caller, if this very login was found good less than RECHECK_SECONDS ago."""
        login = self._logins.get(self._mark(authorization))
        if login is not None and monotonic() - login.checked < RECHECK_SECONDS:
            return login.caller
        return None

    async def identify(self, authorization: str | None, remote: str = "") -> Caller:
        """The caller, who speaks from the address `remote`.

        Raises NotAuthenticated, TooManyRequests, Unavailable.
        """
        if authorization is None:
            raise _refusal("This needs a user name and a password.")
        if len(authorization) > _MAX_HEADER:
            raise _refusal("The credentials are too long.")
        mark, at = self._mark(authorization), monotonic()
        login = self._logins.get(mark)
        if login is not None and await self._still_true(login, at):
            return login.caller
        self._logins.pop(mark, None)
        login = await self._log_in(authorization, remote)
        if len(self._logins) >= self._max_logins:
            del self._logins[next(iter(self._logins))]
        self._logins[mark] = login
        return login.caller

    def _mark(self, authorization: str) -> bytes:
        """What a login is remembered by, so that no password is kept."""
        return blake2b(authorization.encode(), key=self._key, digest_size=16).digest()

    async def _still_true(self, login: _Login, at: float) -> bool:
        """Whether a remembered login still holds; its roles are taken afresh."""
        rev = await self._store.revision(USER, login.caller.user_id)
        if rev is None:
            return False
        if rev != login.rev:
            stored = await self._store.find(USER, login.caller.user_id)
            if stored is None or not _same_password(stored.document, login):
                return False
            login.caller, login.rev = _caller(stored.document), stored.rev
        login.checked = at
        return True

    async def _log_in(self, authorization: str, remote: str) -> _Login:
        name, password = _basic(authorization)
        at = monotonic()
        stored = await self._find(name)
        user = stored.document if stored is not None and stored.document.enabled else None
        password_hash = user.password_hash if user is not None else ""
        right = await self._passwords.matches(password, password_hash, account=name, remote=remote)
        if not right or stored is None or user is None:
            LOGINS_REFUSED.inc()
            raise _refusal("The user name or the password is wrong.")
        return _Login(_caller(user), stored.rev, user.password_version, at)

    async def _find(self, name: str) -> Stored[User] | None:
        page = await self._store.list(Query(USER, {"name": name}, limit=1))
        return page.items[0] if page.items else None


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise _refusal("Only HTTP Basic authentication is understood.")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise _refusal("The credentials are no Base64 of user:password.") from error
    name, colon, password = text.partition(":")
    if not colon or not name or "\0" in text:
        raise _refusal("The credentials are no Base64 of user:password.")
    return name, password


def _refusal(message: str) -> NotAuthenticated:
    return NotAuthenticated(message, hint="Send HTTP Basic credentials of an enabled account.")


def _same_password(user: User, login: _Login) -> bool:
    return user.enabled and user.password_version == login.password_version


def _caller(user: User) -> Caller:
    return Caller(user.id, user.name, user.principals)
