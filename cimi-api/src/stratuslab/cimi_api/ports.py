"""What the front needs of the cloud's security; `stratuslab.core.security` has the adapters."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from stratuslab.core.contracts import SECRET, Secret


class Passwords(Protocol):
    """Slow hashes of passwords. Both leave the event loop free and raise TooManyRequests."""

    async def hash(self, password: str) -> str:
        """The hash to keep."""
        ...

    async def matches(
        self, password: str, password_hash: str, *, account: str = "", remote: str = ""
    ) -> bool:
        """Whether this is the password. An empty hash is nobody's, and costs as much.

        Failures for `account` from `remote` are limited.
        """
        ...


class Vault(Protocol):
    """Secrets at rest."""

    def seal(self, data: bytes, *, associated: str) -> str:
        """Encrypted text that opens only for the document with the key `associated`."""
        ...

    def open(self, sealed: str, *, associated: str) -> bytes:
        """What was sealed. Raises PermanentError when the key is another one."""
        ...


def sealed(vault: Vault, id: str, data: bytes, at: datetime | None) -> Secret:
    """The secret that belongs to the document with this id."""
    return Secret(id=id, created=at, sealed=vault.seal(data, associated=SECRET.key(id)))


def opened(vault: Vault, secret: Secret) -> bytes:
    """What a secret holds. Raises PermanentError."""
    return vault.open(secret.sealed, associated=SECRET.key(secret.id))
