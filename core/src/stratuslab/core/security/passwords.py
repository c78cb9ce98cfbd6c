"""Slow hashes of passwords (argon2id), computed off the event loop, a bounded number at a time.

A flood of wrong passwords fills this queue and nothing else: callers over the limit are told to
come back later. Remembering known logins is the authenticator's job.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from stratuslab.core.errors import TooManyRequests

T = TypeVar("T")

MEMORY_KIB = 19 * 1024
MOST_WAITING = 64
GENERATED_CHARACTERS = 20
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class PasswordHashes:
    """Makes and checks hashes. One for each process; close it at the end."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=MEMORY_KIB, parallelism=1)
        self._thread = ThreadPoolExecutor(1, "passwords")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The hash to keep. Raises TooManyRequests under overload."""
        return await self._slowly(self._hasher.hash, password)

    async def matches(self, password: str, password_hash: str) -> bool:
        """Whether this is the password. Raises TooManyRequests under overload."""
        return await self._slowly(self._matches, password, password_hash)

    def close(self) -> None:
        """Ends the thread; what waits is given up."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _matches(self, password: str, password_hash: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _slowly(self, work: Callable[..., T], *arguments: str) -> T:
        if self._waiting >= MOST_WAITING:
            raise TooManyRequests(
                "Too many passwords are being checked at present.", retry_after_seconds=2
            )
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, work, *arguments)
        finally:
            self._waiting -= 1


def random_password() -> str:
    """A password nobody has to remember, without letters that look alike."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(GENERATED_CHARACTERS))
