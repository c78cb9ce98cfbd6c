"""User: accounts and their roles. An extension of CIMI; a password is never shown."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from stratuslab.cimi_api.model.attributes import Body, Name
from stratuslab.cimi_api.model.common import (
    EXTENSION_NAMESPACE,
    Representation,
    View,
)
from stratuslab.core.contracts import User

LoginName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.@-]{1,128}\Z")]
Role = Annotated[str, msgspec.Meta(pattern=r"^[A-Z][A-Z0-9_-]{0,63}\Z")]
Password = Annotated[str, msgspec.Meta(min_length=8, max_length=256)]


class UserRepresentation(Representation, kw_only=True, tag=f"{EXTENSION_NAMESPACE}/User"):
    """An account. `name` is the login name."""

    first_name: str = ""
    last_name: str = ""
    email: str = ""
    roles: list[str] = []
    enabled: bool


def represent(document: User, _view: View) -> UserRepresentation:
    """The document as it is shown."""
    return UserRepresentation(
        first_name=document.first_name,
        last_name=document.last_name,
        email=document.email,
        roles=document.roles,
        enabled=document.enabled,
    )


class UserBody(Body, kw_only=True):
    """What is written. Without a password an account keeps its own; a new one needs one.

    `roles` and `enabled` are heeded from administrators only.
    """

    name: LoginName
    first_name: Name | None = None
    last_name: Name | None = None
    email: Name | None = None
    password: Password | UnsetType = UNSET
    roles: Annotated[list[Role], msgspec.Meta(max_length=32)] | None = None
    enabled: bool | None = None


def new(id: str, _body: UserBody) -> User:
    """A bare document."""
    return User(id=id)


def body_of(document: User) -> UserBody:
    """The writable attributes as they are now, without the password."""
    return UserBody(
        name=document.name,
        first_name=document.first_name,
        last_name=document.last_name,
        email=document.email,
        roles=document.roles,
        enabled=document.enabled,
    )


def apply(document: User, body: UserBody, *, administrator: bool) -> None:
    """Writes the attributes that are this type's own, except the password.

    The name, the roles and whether the account is enabled are an administrator's to decide.
    """
    document.first_name = body.first_name or ""
    document.last_name = body.last_name or ""
    document.email = body.email or ""
    if administrator:
        document.roles = sorted(set(body.roles or []) - {"USER", "ANON"})
        document.enabled = body.enabled is not False
