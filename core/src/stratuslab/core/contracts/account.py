"""Users of the cloud and the credentials they put into their machines."""

from __future__ import annotations

from stratuslab.core.documents.frame import ANY_USER, Document
from stratuslab.core.documents.kinds import Field, Kind


class User(Document, tag="user"):
    """An account. `name` is the login name, `id` never changes."""

    password_hash: str = ""
    """argon2 in its own text form; empty: no login by password."""
    password_version: int = 1
    """Grows with each change of the password: cached logins of older versions are void."""
    roles: list[str] = []
    """E.g. ["ADMIN"]; every enabled user has USER."""
    enabled: bool = True
    email: str = ""
    first_name: str = ""
    last_name: str = ""

    @property
    def principals(self) -> frozenset[str]:
        """Who this user is in the eyes of an ACL."""
        return frozenset(
            {f"user/{self.id}", ANY_USER, "role/ANON", *(f"role/{role}" for role in self.roles)}
        )


USER = Kind(
    "user",
    User,
    (
        Field("created", lambda u: u.created.isoformat() if u.created else None),
        Field("name", lambda u: u.name, unique=True),
        Field("role", lambda u: u.roles[0] if u.roles else None),
    ),
)


class Credential(Document, tag="credential"):
    """A public key and user name that cloud-init puts into a guest."""

    user_name: str = ""
    public_key: str = ""


CREDENTIAL = Kind(
    "credential",
    Credential,
    (
        Field("created", lambda c: c.created.isoformat() if c.created else None),
        Field("name", lambda c: c.name),
    ),
)
