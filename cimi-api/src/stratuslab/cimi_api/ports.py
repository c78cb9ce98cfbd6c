"""What the front needs of the cloud's security; `stratuslab.core.security` has the adapters."""

from __future__ import annotations

from typing import Protocol


class Passwords(Protocol):
    """Slow hashes of passwords. Both calls leave the event loop free."""

    async def hash(self, password: str) -> str:
        """The hash to keep."""
        ...

    async def matches(self, password: str, password_hash: str) -> bool:
        """Whether this is the password."""
        ...


class Vault(Protocol):
    """Secrets at rest."""

    def seal(self, data: bytes) -> str:
        """Encrypted text."""
        ...

    def open(self, sealed: str) -> bytes:
        """What was sealed. Raises PermanentError when the key is another one."""
        ...
