"""MachineConfiguration: sizes of machines, and the units of disks."""

from __future__ import annotations

from typing import Annotated

import msgspec

from stratuslab.cimi_api.model.attributes import (
    MAX_DISK_KB,
    Architecture,
    Body,
    Cpu,
    MemoryKib,
    Name,
)
from stratuslab.cimi_api.model.common import NAMESPACE, Extension, Representation, View
from stratuslab.core.contracts import MachineConfiguration
from stratuslab.core.contracts.machine import DiskSpec

MIB = 1024**2


class DiskAttributes(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """A local disk of the machines to be. `capacity` is in kB (10³), `capacity_bytes` exact."""

    capacity: int
    format: str = ""
    initial_location: str = ""
    capacity_bytes: Extension[int | None] = None


class MachineConfigurationRepresentation(
    Representation, kw_only=True, tag=f"{NAMESPACE}/MachineConfiguration"
):
    """DSP0263 MachineConfiguration. `memory` is in KiB, `cpu_speed` in MHz."""

    cpu: int
    memory: int
    disks: list[DiskAttributes] = []
    cpu_arch: str = ""
    cpu_speed: int | None = None


def represent(document: MachineConfiguration, _view: View) -> MachineConfigurationRepresentation:
    """The document as CIMI shows it."""
    return MachineConfigurationRepresentation(
        cpu=document.cpu,
        memory=document.memory_kib,
        disks=[shown_disk(disk) for disk in document.disks],
        cpu_arch=document.cpu_arch,
        cpu_speed=document.cpu_speed_mhz,
    )


class DiskBody(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A disk as a client writes it. `capacity_bytes` wins over `capacity`."""

    capacity: Annotated[int, msgspec.Meta(ge=1, le=MAX_DISK_KB)]
    format: Name | None = None
    initial_location: Name | None = None
    capacity_bytes: Annotated[int, msgspec.Meta(ge=1, le=MAX_DISK_KB * 1000)] | None = None


Disks = Annotated[list[DiskBody], msgspec.Meta(max_length=16)]


class MachineConfigurationBody(Body, kw_only=True):
    """What a client writes."""

    cpu: Cpu
    memory: MemoryKib
    disks: Disks | None = None
    cpu_arch: Architecture | None = None
    cpu_speed: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None


def new(id: str, body: MachineConfigurationBody) -> MachineConfiguration:
    """A bare document."""
    return MachineConfiguration(id=id, cpu=body.cpu, memory_kib=body.memory)


def body_of(document: MachineConfiguration) -> MachineConfigurationBody:
    """The writable attributes as they are now."""
    return MachineConfigurationBody(
        cpu=document.cpu,
        memory=document.memory_kib,
        disks=[disk_body(disk) for disk in document.disks],
        cpu_arch=document.cpu_arch,
        cpu_speed=document.cpu_speed_mhz,
    )


def apply(document: MachineConfiguration, body: MachineConfigurationBody) -> None:
    """Writes the attributes that are this type's own."""
    document.cpu = body.cpu
    document.memory_kib = body.memory
    document.disks = [stored_disk(disk) for disk in body.disks or []]
    document.cpu_arch = body.cpu_arch or "x86_64"
    document.cpu_speed_mhz = body.cpu_speed


def shown_disk(disk: DiskSpec) -> DiskAttributes:
    """A disk with its capacity in both units."""
    return DiskAttributes(
        capacity=kilobytes(disk.capacity_bytes),
        format=disk.format,
        initial_location=disk.initial_location,
        capacity_bytes=disk.capacity_bytes,
    )


def disk_body(disk: DiskSpec) -> DiskBody:
    """A stored disk as a client would write it."""
    return DiskBody(
        capacity=kilobytes(disk.capacity_bytes),
        format=disk.format,
        initial_location=disk.initial_location,
        capacity_bytes=disk.capacity_bytes,
    )


def stored_disk(disk: DiskBody) -> DiskSpec:
    """A disk with its capacity rounded up to a MiB."""
    wanted = disk.capacity_bytes or disk.capacity * 1000 - 999
    return DiskSpec(
        capacity_bytes=-(-wanted // MIB) * MIB,
        format=disk.format or "",
        initial_location=disk.initial_location or "",
    )


def kilobytes(capacity_bytes: int) -> int:
    """Bytes in CIMI's kB (10³), rounded up.

    `stored_disk` takes the same number back to the same MiB, so that a client which sends what
    it read changes nothing.
    """
    return -(-capacity_bytes // 1000)
