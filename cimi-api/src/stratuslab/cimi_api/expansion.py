"""Expanding a MachineCreate: stored template, overrides, configuration, image and credential.

Reads the documents that are referred to, as far as the caller may see them; writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from msgspec import UNSET

from stratuslab.cimi_api.model.credential import checked_keys
from stratuslab.cimi_api.model.machine_image import check_location
from stratuslab.cimi_api.model.machine_template import (
    TemplateValue,
    configuration_value,
    credential_value,
    decoded_user_data,
    image_value,
)
from stratuslab.cimi_api.model.references import referenced_id
from stratuslab.cimi_api.plan import Caller, Cloud
from stratuslab.cimi_api.ports import opened
from stratuslab.core.contracts import (
    CREDENTIAL,
    MACHINE_CONFIGURATION,
    MACHINE_IMAGE,
    MACHINE_TEMPLATE,
    SECRET,
    MachineTemplate,
)
from stratuslab.core.contracts.catalogue import ConfigurationValue, CredentialValue, ImageValue
from stratuslab.core.contracts.machine import DiskSpec, GuestLogin, ImageReference, MachineSpec
from stratuslab.core.contracts.machine_states import Power
from stratuslab.core.documents import Document, Kind, Right
from stratuslab.core.errors import InvalidRequest, WrongState

D = TypeVar("D", bound=Document)

WHERE = "machineTemplate"


@dataclass(frozen=True)
class Expansion:
    """What a machine shall be, and the user data for its guest."""

    spec: MachineSpec
    user_data: bytes | None


async def expand(cloud: Cloud, caller: Caller, value: TemplateValue) -> Expansion:
    """The wanted machine. Raises InvalidRequest naming the attribute, Forbidden, WrongState."""
    template = await _template(cloud, caller, value)
    configuration = template.configuration
    cpu, memory_kib, disks, cpu_arch = await _size(cloud, caller, configuration)
    image = await _image(cloud, caller, template.image, memory_kib)
    login = await _login(cloud, caller, template.credential) if template.credential else None
    user_data = await _user_data(cloud, value, template)
    return Expansion(
        MachineSpec(
            cpu=cpu,
            memory_kib=memory_kib,
            image=image,
            disks=disks,
            cpu_arch=cpu_arch,
            login=login,
            credential=template.credential.id if template.credential else None,
            has_user_data=user_data is not None,
            restart_policy=template.restart_policy or "on-host-reboot",
            power=template.initial_state or Power.STOPPED,
        ),
        user_data,
    )


async def readable(cloud: Cloud, caller: Caller, kind: Kind[D], id: str, attribute: str) -> D:
    """A document the caller refers to. Raises InvalidRequest naming `attribute`."""
    stored = await cloud.store.find(kind, id)
    if stored is None or stored.document.acl.right_of(caller.principals) < Right.VIEW:
        raise InvalidRequest(
            f"{attribute} refers to {kind.name} {id}, which does not exist or is not yours to use.",
            hint="List the collection to see what you may use.",
        )
    return stored.document


async def _template(cloud: Cloud, caller: Caller, value: TemplateValue) -> MachineTemplate:
    """The stored template with the overrides, or one made of the value alone; never stored."""
    if value.href is not None:
        id = referenced_id(value.href, "machine-template", f"{WHERE}.href")
        template = await readable(cloud, caller, MACHINE_TEMPLATE, id, f"{WHERE}.href")
    else:
        template = MachineTemplate(id="")
    if value.initial_state is not UNSET:
        template.initial_state = Power(value.initial_state) if value.initial_state else None
    if value.machine_config is not UNSET:
        template.configuration = (
            configuration_value(value.machine_config, f"{WHERE}.machineConfig")
            if value.machine_config
            else ConfigurationValue()
        )
    if value.machine_image is not UNSET:
        template.image = (
            image_value(value.machine_image, f"{WHERE}.machineImage")
            if value.machine_image
            else ImageValue()
        )
    if value.credential is not UNSET:
        template.credential = (
            credential_value(value.credential, f"{WHERE}.credential") if value.credential else None
        )
    if value.restart_policy is not UNSET:
        template.restart_policy = value.restart_policy
    return template


async def _size(
    cloud: Cloud, caller: Caller, value: ConfigurationValue
) -> tuple[int, int, list[DiskSpec], str]:
    """Processors, memory in KiB, disks and architecture: the reference first, then overrides."""
    cpu, memory_kib, disks, cpu_arch = value.cpu, value.memory_kib, value.disks, value.cpu_arch
    if value.id is not None:
        where = f"{WHERE}.machineConfig.href"
        stored = await readable(cloud, caller, MACHINE_CONFIGURATION, value.id, where)
        cpu = cpu or stored.cpu
        memory_kib = memory_kib or stored.memory_kib
        disks = stored.disks if disks is None else disks
        cpu_arch = cpu_arch or stored.cpu_arch
    if cpu is None or memory_kib is None:
        raise InvalidRequest(
            f"{WHERE} has no machineConfig, so the size of the machine is unknown.",
            hint="Refer to a MachineConfiguration by href, or give cpu and memory.",
        )
    return cpu, memory_kib, disks or [], cpu_arch or "x86_64"


async def _image(
    cloud: Cloud, caller: Caller, value: ImageValue, memory_kib: int
) -> ImageReference:
    if value.location is not None:
        location = check_location(
            value.location,
            administrator=caller.administrator,
            folders=cloud.image_folders,
            attribute=f"{WHERE}.machineImage.imageLocation",
        )
        return ImageReference(id="", location=location)
    if value.id is None:
        raise InvalidRequest(
            f"{WHERE} has no machineImage, so the machine would have nothing to boot from.",
            hint="Refer to a MachineImage by href.",
        )
    where = f"{WHERE}.machineImage.href"
    image = await readable(cloud, caller, MACHINE_IMAGE, value.id, where)
    if image.state != "AVAILABLE":
        raise WrongState(
            f"{where} refers to image {image.id}, which is {image.state} and not AVAILABLE.",
            hint="Wait until it is available, or choose another image.",
        )
    if memory_kib < image.minimum_memory_kib:
        raise InvalidRequest(
            f"{WHERE}.machineConfig gives {memory_kib} KiB of memory, but image {image.id} needs"
            f" {image.minimum_memory_kib} KiB.",
            hint="Choose a larger configuration.",
        )
    return ImageReference(id=image.id, location=image.location)


async def _login(cloud: Cloud, caller: Caller, value: CredentialValue) -> GuestLogin:
    user_name, public_key = value.user_name, value.public_key
    if value.id is not None:
        where = f"{WHERE}.credential.href"
        stored = await readable(cloud, caller, CREDENTIAL, value.id, where)
        user_name = stored.user_name if user_name is None else user_name
        public_key = stored.public_key if public_key is None else public_key
    if not public_key:
        raise InvalidRequest(
            f"{WHERE}.credential holds no public key.", hint="Give a Credential that has a key."
        )
    return GuestLogin(user_name or "", checked_keys(public_key, f"{WHERE}.credential.key"))


async def _user_data(cloud: Cloud, value: TemplateValue, template: MachineTemplate) -> bytes | None:
    if value.user_data is not UNSET:
        if not value.user_data:
            return None
        return decoded_user_data(value.user_data, f"{WHERE}.userData")
    if not template.has_user_data:
        return None
    return opened(cloud.vault, (await cloud.store.get(SECRET, template.id)).document)
