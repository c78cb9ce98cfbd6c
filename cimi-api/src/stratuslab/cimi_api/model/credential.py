"""Credential: the user name and public keys that go into a guest."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

import msgspec

from stratuslab.cimi_api.model.attributes import Body, Uri
from stratuslab.cimi_api.model.common import NAMESPACE, Representation, View
from stratuslab.core.contracts import Credential
from stratuslab.core.errors import InvalidRequest

KEY_TYPES = frozenset(
    {
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)
UserName = Annotated[str, msgspec.Meta(pattern=r"^[a-z_][a-z0-9_-]{0,31}\Z")]
PublicKeys = Annotated[str, msgspec.Meta(max_length=16 * 1024)]


class CredentialRepresentation(Representation, kw_only=True, tag=f"{NAMESPACE}/Credential"):
    """DSP0263 Credential with its well-known attributes."""

    user_name: str = ""
    key: str = ""


def represent(document: Credential, _view: View) -> CredentialRepresentation:
    """The document as CIMI shows it."""
    return CredentialRepresentation(user_name=document.user_name, key=document.public_key)


class CredentialBody(Body, kw_only=True):
    """What a client writes. `key` holds one OpenSSH public key a line."""

    user_name: UserName | None = None
    key: PublicKeys


class CredentialTemplateValue(
    msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """A template by value; there are no stored credential templates."""

    resource_uri: str | None = msgspec.field(default=None, name="resourceURI")
    user_name: UserName | None = None
    key: PublicKeys


class CredentialCreate(Body, kw_only=True):
    """A new credential, out of a template by value."""

    credential_template: CredentialTemplateValue


class CredentialValueBody(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A credential where a machine or template needs one: by reference or by value."""

    href: Uri | None = None
    user_name: UserName | None = None
    key: PublicKeys | None = None


def new(id: str, _body: CredentialBody) -> Credential:
    """A bare document."""
    return Credential(id=id)


def unpack(create: CredentialCreate) -> CredentialBody:
    """The attributes that a creation writes."""
    template = create.credential_template
    return CredentialBody(
        name=create.name,
        description=create.description,
        properties=create.properties,
        acl=create.acl,
        user_name=template.user_name,
        key=template.key,
    )


def body_of(document: Credential) -> CredentialBody:
    """The writable attributes as they are now."""
    return CredentialBody(user_name=document.user_name or None, key=document.public_key)


def apply(document: Credential, body: CredentialBody) -> None:
    """Writes the attributes that are this type's own. Raises InvalidRequest for a bad key."""
    document.user_name = body.user_name or ""
    document.public_key = checked_keys(body.key, "key")


def checked_keys(text: str, attribute: str) -> str:
    """The OpenSSH public keys in a text, one a line. Raises InvalidRequest naming `attribute`."""
    if "PRIVATE KEY" in text:
        raise InvalidRequest(
            f"{attribute} holds a private key.",
            hint="Send the public key, the file ending in .pub, and replace the private one.",
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    keys = [line for line in lines if not line.startswith(("#", "Comment:"))]
    if not keys:
        raise InvalidRequest(
            f"{attribute} holds no public key.", hint="Send a line like 'ssh-ed25519 AAAA… name'."
        )
    for number, line in enumerate(keys, 1):
        _check_key(line, f"{attribute}, key {number}")
    return "\n".join(keys)


def _check_key(line: str, where: str) -> None:
    kind, _, rest = line.partition(" ")
    encoded = rest.strip().partition(" ")[0]
    if kind not in KEY_TYPES or not line.isprintable():
        raise InvalidRequest(
            f"{where} does not begin with a type of OpenSSH key.",
            hint=f"Known types are {', '.join(sorted(KEY_TYPES))}.",
        )
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        blob = b""
    name = kind.encode()
    if not blob.startswith(len(name).to_bytes(4, "big") + name) or len(blob) < len(name) + 36:
        raise InvalidRequest(
            f"{where} is damaged: what follows {kind} is no key of that type.",
            hint="Copy the whole line of the .pub file.",
        )
