"""Passwords: slow hashes (argon2id) off the event loop, and a memory of those found right.

A right password is remembered under a keyed hash of itself and of the stored hash it was compared
with. Asking again costs microseconds, and a change of the password needs no message to anyone:
the new stored hash has a new salt, so nothing is remembered for it. Whether the account may log in
at all is the caller's question, asked with the account's present document.

A flood of wrong passwords fills the queue of slow comparisons and nothing else; callers over its
limit are told to come back later.
"""

from __future__ import annotations

import asyncio
import base64
import ctypes
import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Any, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from stratuslab.core.errors import InvalidRequest, TooManyRequests
from stratuslab.core.security.failed_logins import FailedLogins
from stratuslab.core.security.metrics import KNOWN, RIGHT, TURNED_AWAY, WRONG

T = TypeVar("T")

MEMORY_KIB = 19 * 1024
PASSES = 3
"""With this memory about 40 ms of one core."""
MOST_WAITING = 64
"""About two seconds of work."""
LONGEST_PASSWORD_BYTES = 1024
REMEMBERED = 4096
"""Right passwords kept in mind; about 150 bytes each."""

GENERATED_CHARACTERS = 20
_M_MMAP_THRESHOLD = -3
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class PasswordHashes:
    """Makes and checks hashes. One for each process; close it at the end."""

    def __init__(
        self, *, remembered: int = REMEMBERED, failed_logins: FailedLogins | None = None
    ) -> None:
        _give_back_freed_memory()
        self._hasher = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1)
        self._thread = ThreadPoolExecutor(1, "passwords")
        self._waiting = 0
        self._failed_logins = failed_logins or FailedLogins()
        self._key = secrets.token_bytes(32)
        self._most_known = remembered
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._under_way: dict[bytes, asyncio.Future[bool]] = {}

    async def hash(self, password: str) -> str:
        """The hash to keep. Raises TooManyRequests under overload, InvalidRequest if too long."""
        secret = _encoded(password)
        if len(secret) > LONGEST_PASSWORD_BYTES:
            raise InvalidRequest(
                f"A password may have {LONGEST_PASSWORD_BYTES} bytes, and this one has more."
            )
        return await self._slowly(self._hasher.hash, secret)

    async def matches(
        self, password: str, password_hash: str, *, account: str = "", remote: str = ""
    ) -> bool:
        """Whether this is the password that was hashed.

        `password_hash` empty: there is no such account, or it has no password; that costs as much
        and is never so. With `account`, the name somebody gave, failures from `remote` (empty:
        from anywhere) are limited. Raises TooManyRequests: too many failures, or overload.
        """
        secret = _encoded(password)
        mark = self._mark(secret, password_hash, account)
        if mark in self._known:
            self._known.move_to_end(mark)
            KNOWN.inc()
            return True
        if len(secret) > LONGEST_PASSWORD_BYTES:
            WRONG.inc()
            return False
        try:
            comparison = self._under_way.get(mark) or self._begin(
                mark, secret, password_hash, account, remote
            )
        except TooManyRequests:
            TURNED_AWAY.inc()
            raise
        right = await asyncio.shield(comparison)
        (RIGHT if right else WRONG).inc()
        return right

    def close(self) -> None:
        """Ends the thread; what waits is given up."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _mark(self, secret: bytes, password_hash: str, account: str) -> bytes:
        """What a comparison is known by. Accounts without a hash do not share theirs."""
        witness = (password_hash or f"nobody {account}").encode()
        length = len(witness).to_bytes(4, "big")
        return blake2b(length + witness + secret, key=self._key, digest_size=32).digest()

    def _begin(
        self, mark: bytes, secret: bytes, password_hash: str, account: str, remote: str
    ) -> asyncio.Future[bool]:
        """One slow comparison; all that ask the same meanwhile share it, and its attempt."""
        if account:
            self._failed_logins.take(account, remote)
        try:
            comparison = self._slowly(self._compare, secret, password_hash or _nobodys_hash())
        except TooManyRequests:
            if account:
                self._failed_logins.give_back(account, remote)
            raise

        def settle(done: asyncio.Future[bool]) -> None:
            del self._under_way[mark]
            if not done.cancelled() and done.exception() is None and done.result():
                self._remember(mark)
                if account:
                    self._failed_logins.give_back(account, remote)

        comparison.add_done_callback(settle)
        self._under_way[mark] = comparison
        return comparison

    def _remember(self, mark: bytes) -> None:
        self._known[mark] = None
        if len(self._known) > self._most_known:
            self._known.popitem(last=False)

    def _compare(self, secret: bytes, password_hash: str) -> bool:
        try:
            return self._hasher.verify(password_hash, secret)
        except (VerificationError, InvalidHashError):
            return False

    def _slowly(self, work: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """Runs it in the thread. Raises TooManyRequests when too much waits already."""
        if self._waiting >= MOST_WAITING:
            raise TooManyRequests(
                "Too many passwords are being checked at present.",
                hint="Try again in 2 seconds.",
                retry_after_seconds=2,
            )
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        future.add_done_callback(self._one_less)
        return future

    def _one_less(self, _done: asyncio.Future[Any]) -> None:
        self._waiting -= 1


def _give_back_freed_memory() -> None:
    """Makes the C library return each hash's memory to the system at once.

    glibc otherwise learns from the first free to keep blocks of that size for the next time: an
    idle process would hold MEMORY_KIB for nothing. Another C library may not know the call.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1024 * 1024)


def random_password() -> str:
    """A password nobody has to remember, without letters that look alike."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(GENERATED_CHARACTERS))


def _encoded(password: str) -> bytes:
    return password.encode(errors="surrogatepass")


def _nobodys_hash() -> str:
    """A hash that nothing matches, as slow to compare as a real one."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32)
    )
    return f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1${salt}${digest}"
