"""What machines are made of: configurations, images and templates."""

from __future__ import annotations

from typing import Literal

import msgspec

from stratuslab.core.contracts.machine import DiskSpec, RestartPolicy
from stratuslab.core.contracts.machine_states import Power
from stratuslab.core.documents.frame import Document
from stratuslab.core.documents.kinds import Field, Kind


class MachineConfiguration(Document, tag="machine-configuration"):
    """A size of machine (an instance type)."""

    cpu: int
    memory_kib: int
    disks: list[DiskSpec] = []
    cpu_arch: str = "x86_64"
    cpu_speed_mhz: int | None = None


MACHINE_CONFIGURATION = Kind(
    "machine-configuration",
    MachineConfiguration,
    (
        Field("created", lambda c: c.created.isoformat() if c.created else None),
        Field("name", lambda c: c.name),
        Field("cpu", lambda c: c.cpu),
        Field("memory", lambda c: c.memory_kib),
    ),
)

ImageType = Literal["IMAGE", "SNAPSHOT", "PARTIAL_SNAPSHOT"]


class MachineImage(Document, tag="machine-image", kw_only=True):
    """A bootable disk."""

    type: ImageType = "IMAGE"
    location: str
    """`file:///…` inside one of the image folders."""
    related_image: str | None = None
    state: Literal["CREATING", "AVAILABLE", "DELETING", "ERROR"] = "AVAILABLE"
    minimum_memory_kib: int = 0


MACHINE_IMAGE = Kind(
    "machine-image",
    MachineImage,
    (
        Field("created", lambda i: i.created.isoformat() if i.created else None),
        Field("name", lambda i: i.name),
        Field("state", lambda i: i.state),
    ),
)


class ConfigurationValue(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A configuration by reference (`id`), by value, or by reference with overrides."""

    id: str | None = None
    cpu: int | None = None
    memory_kib: int | None = None
    disks: list[DiskSpec] | None = None
    cpu_arch: str | None = None


class ImageValue(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """An image by reference (`id`) or by value."""

    id: str | None = None
    location: str | None = None


class CredentialValue(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """A credential by reference (`id`) or by value."""

    id: str | None = None
    user_name: str | None = None
    public_key: str | None = None


class MachineTemplate(Document, tag="machine-template"):
    """Everything needed to create machines again and again."""

    initial_state: Power | None = None
    configuration: ConfigurationValue = msgspec.field(default_factory=ConfigurationValue)
    image: ImageValue = msgspec.field(default_factory=ImageValue)
    credential: CredentialValue | None = None
    has_user_data: bool = False
    """Whether a Secret with this template's id holds user data."""
    restart_policy: RestartPolicy | None = None


MACHINE_TEMPLATE = Kind(
    "machine-template",
    MachineTemplate,
    (
        Field("created", lambda t: t.created.isoformat() if t.created else None),
        Field("name", lambda t: t.name),
    ),
)
