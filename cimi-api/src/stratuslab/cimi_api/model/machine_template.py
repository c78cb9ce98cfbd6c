"""MachineTemplate: its representation and what clients write, alone or inside a MachineCreate."""

from __future__ import annotations

import base64
import binascii
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from stratuslab.cimi_api.model.attributes import (
    MAX_USER_DATA_BYTES,
    Architecture,
    Base64Text,
    Body,
    Cpu,
    MemoryKib,
    Uri,
)
from stratuslab.cimi_api.model.common import NAMESPACE, Extension, Representation, View
from stratuslab.cimi_api.model.credential import CredentialValueBody, checked_keys
from stratuslab.cimi_api.model.machine_configuration import (
    DiskAttributes,
    Disks,
    disk_body,
    shown_disk,
    stored_disk,
)
from stratuslab.cimi_api.model.references import referenced_id, relative_href
from stratuslab.core.contracts import MachineTemplate
from stratuslab.core.contracts.catalogue import ConfigurationValue, CredentialValue, ImageValue
from stratuslab.core.contracts.machine import RestartPolicy
from stratuslab.core.contracts.machine_states import Power
from stratuslab.core.errors import InvalidRequest, TooLarge

InitialState = Literal["STARTED", "STOPPED"]


class ConfigurationAttributes(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """A configuration by reference, by value, or by reference with overrides."""

    href: str | None = None
    cpu: int | None = None
    memory: int | None = None
    disks: list[DiskAttributes] | None = None
    cpu_arch: str | None = None


class ImageAttributes(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """An image by reference or by value."""

    href: str | None = None
    image_location: str | None = None


class CredentialAttributes(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """A credential by reference or by value."""

    href: str | None = None
    user_name: str | None = None
    key: str | None = None


class MachineTemplateRepresentation(
    Representation, kw_only=True, tag=f"{NAMESPACE}/MachineTemplate"
):
    """DSP0263 MachineTemplate. User data is never shown again, only that there is some."""

    initial_state: str = ""
    machine_config: ConfigurationAttributes
    machine_image: ImageAttributes
    credential: CredentialAttributes | None = None
    restart_policy: Extension[str] = ""
    has_user_data: Extension[bool] = False


class ConfigurationBody(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A configuration as a client writes it into a template; null erases what `href` names."""

    href: Uri | None = None
    cpu: Cpu | None = None
    memory: MemoryKib | None = None
    disks: Disks | UnsetType | None = UNSET
    cpu_arch: Architecture | None = None


class ImageBody(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """An image as a client writes it into a template."""

    href: Uri | None = None
    image_location: Uri | None = None


class MachineTemplateBody(Body, kw_only=True):
    """What a client writes. `user_data` is Base64; absent it stays, null erases it."""

    initial_state: InitialState | None = None
    machine_config: ConfigurationBody
    machine_image: ImageBody
    credential: CredentialValueBody | None = None
    user_data: Base64Text | UnsetType | None = UNSET
    restart_policy: RestartPolicy | None = None


class TemplateValue(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The template of a new machine: by value, or by reference with overrides.

    What is absent comes from the stored template, null erases it.
    """

    resource_uri: str | None = msgspec.field(default=None, name="resourceURI")
    href: Uri | None = None
    initial_state: InitialState | UnsetType | None = UNSET
    machine_config: ConfigurationBody | UnsetType | None = UNSET
    machine_image: ImageBody | UnsetType | None = UNSET
    credential: CredentialValueBody | UnsetType | None = UNSET
    user_data: Base64Text | UnsetType | None = UNSET
    restart_policy: RestartPolicy | UnsetType | None = UNSET


class MachineCreate(Body, kw_only=True):
    """A new machine."""

    machine_template: TemplateValue


def represent(document: MachineTemplate, view: View) -> MachineTemplateRepresentation:
    """The document as CIMI shows it."""
    configuration, image = document.configuration, document.image
    credential = document.credential
    disks = configuration.disks
    return MachineTemplateRepresentation(
        initial_state=document.initial_state.value if document.initial_state else "",
        machine_config=ConfigurationAttributes(
            href=_href(view, "machine-configuration", configuration.id),
            cpu=configuration.cpu,
            memory=configuration.memory_kib,
            disks=[shown_disk(disk) for disk in disks] if disks is not None else None,
            cpu_arch=configuration.cpu_arch,
        ),
        machine_image=ImageAttributes(
            href=_href(view, "machine-image", image.id), image_location=image.location
        ),
        credential=CredentialAttributes(
            href=_href(view, "credential", credential.id),
            user_name=credential.user_name,
            key=credential.public_key,
        )
        if credential
        else None,
        restart_policy=document.restart_policy or "",
        has_user_data=document.has_user_data,
    )


def new(id: str, _body: MachineTemplateBody) -> MachineTemplate:
    """A bare document."""
    return MachineTemplate(id=id)


def body_of(document: MachineTemplate) -> MachineTemplateBody:
    """The writable attributes as they are now; user data stays out, so that it is kept."""
    configuration, image = document.configuration, document.image
    credential = document.credential
    disks = configuration.disks
    state = document.initial_state
    return MachineTemplateBody(
        initial_state="STARTED" if state is Power.STARTED else "STOPPED" if state else None,
        machine_config=ConfigurationBody(
            href=_relative("machine-configuration", configuration.id),
            cpu=configuration.cpu,
            memory=configuration.memory_kib,
            disks=[disk_body(disk) for disk in disks] if disks is not None else UNSET,
            cpu_arch=configuration.cpu_arch,
        ),
        machine_image=ImageBody(
            href=_relative("machine-image", image.id), image_location=image.location
        ),
        credential=CredentialValueBody(
            href=_relative("credential", credential.id),
            user_name=credential.user_name,
            key=credential.public_key,
        )
        if credential
        else None,
        restart_policy=document.restart_policy,
    )


def apply(document: MachineTemplate, body: MachineTemplateBody) -> None:
    """Writes the attributes that are this type's own, except the user data."""
    document.initial_state = Power(body.initial_state) if body.initial_state else None
    document.configuration = configuration_value(body.machine_config, "machineConfig")
    document.image = image_value(body.machine_image, "machineImage")
    document.credential = (
        credential_value(body.credential, "credential") if body.credential else None
    )
    document.restart_policy = body.restart_policy


def configuration_value(body: ConfigurationBody, attribute: str) -> ConfigurationValue:
    """What is kept of a configuration. Raises InvalidRequest naming `attribute`."""
    if body.href is None and (body.cpu is None or body.memory is None):
        raise InvalidRequest(
            f"{attribute} has neither an href nor both cpu and memory.",
            hint="Refer to a MachineConfiguration by href, or give cpu and memory.",
        )
    return ConfigurationValue(
        id=referenced_id(body.href, "machine-configuration", f"{attribute}.href")
        if body.href
        else None,
        cpu=body.cpu,
        memory_kib=body.memory,
        disks=None if body.disks is UNSET else [stored_disk(disk) for disk in body.disks or []],
        cpu_arch=body.cpu_arch,
    )


def image_value(body: ImageBody, attribute: str) -> ImageValue:
    """What is kept of an image. Raises InvalidRequest naming `attribute`."""
    if (body.href is None) == (body.image_location is None):
        raise InvalidRequest(
            f"{attribute} needs either an href or an imageLocation.",
            hint="Refer to a MachineImage by href.",
        )
    id = referenced_id(body.href, "machine-image", f"{attribute}.href") if body.href else None
    return ImageValue(id=id, location=body.image_location)


def credential_value(body: CredentialValueBody, attribute: str) -> CredentialValue:
    """What is kept of a credential. Raises InvalidRequest naming `attribute`."""
    if body.href is None and body.key is None:
        raise InvalidRequest(
            f"{attribute} has neither an href nor a key.",
            hint="Refer to a Credential by href, or give a public key.",
        )
    return CredentialValue(
        id=referenced_id(body.href, "credential", f"{attribute}.href") if body.href else None,
        user_name=body.user_name,
        public_key=checked_keys(body.key, f"{attribute}.key") if body.key is not None else None,
    )


def decoded_user_data(text: str, attribute: str) -> bytes:
    """The bytes that Base64 text holds. Raises InvalidRequest or TooLarge naming `attribute`."""
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(
            f"{attribute} is not Base64: {error}.", hint="Encode the data, e.g. with base64 -w0."
        ) from error
    if len(data) > MAX_USER_DATA_BYTES:
        raise TooLarge(
            f"{attribute} has {len(data)} bytes; at most {MAX_USER_DATA_BYTES} are allowed.",
            hint="Let the guest fetch the rest.",
        )
    return data


def _href(view: View, kind: str, id: str | None) -> str | None:
    return view.resource(kind, id) if id else None


def _relative(kind: str, id: str | None) -> str | None:
    return relative_href(kind, id) if id else None
