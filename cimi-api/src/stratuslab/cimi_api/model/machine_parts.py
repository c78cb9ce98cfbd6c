"""The parts of a machine that CIMI shows as collections of their own.

They are no documents: each item is derived from the machine's document.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from stratuslab.cimi_api.model.common import NAMESPACE, Extension, Reference, Representation
from stratuslab.cimi_api.model.machine_configuration import kilobytes
from stratuslab.core.contracts import Machine


class DiskRepresentation(Representation, kw_only=True, tag=f"{NAMESPACE}/Disk"):
    """DSP0263 Disk. `capacity` is in kB (10³); unknown for the boot disk until it is made."""

    capacity: int | None = None
    initial_location: str = ""
    format: Extension[str] = ""
    capacity_bytes: Extension[int | None] = None
    machine_image: Extension[Reference | None] = None


class MachineVolumeRepresentation(Representation, kw_only=True, tag=f"{NAMESPACE}/MachineVolume"):
    """DSP0263 MachineVolume."""

    initial_location: str = ""
    volume: Reference


class AddressValue(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """An address by value; addresses are no resources of this cloud."""

    ip: str
    allocation: str
    protocol: str = ""


class MachineNetworkInterfaceAddressRepresentation(
    Representation, kw_only=True, tag=f"{NAMESPACE}/MachineNetworkInterfaceAddress"
):
    """DSP0263 MachineNetworkInterfaceAddress, with the address by value."""

    address: AddressValue


class MachineNetworkInterfaceRepresentation(
    Representation, kw_only=True, tag=f"{NAMESPACE}/MachineNetworkInterface"
):
    """DSP0263 MachineNetworkInterface."""

    addresses: Reference
    state: str
    mac_address: str


class MachineSnapshotRepresentation(
    Representation, kw_only=True, tag=f"{NAMESPACE}/MachineSnapshot"
):
    """DSP0263 MachineSnapshot."""

    snapshot: Reference


Items = Callable[[Machine, str], list[Representation]]


@dataclass(frozen=True)
class Part:
    """A collection inside a machine.

    `items(machine, uri)` derives the items of the collection at `uri`; `parts` are the
    collections inside each item.
    """

    name: str
    item: type[Representation]
    array: str
    items: Items
    parts: tuple[Part, ...] = ()


def _disks(machine: Machine, uri: str) -> list[Representation]:
    image = machine.spec.image
    base = uri.removesuffix(f"machines/{machine.id}/disks")
    boot = DiskRepresentation(
        id=f"{uri}/0",
        name="boot",
        initial_location="/dev/vda",
        machine_image=Reference(f"{base}machineImages/{image.id}") if image.id else None,
    )
    more = [
        DiskRepresentation(
            id=f"{uri}/{number}",
            name=f"disk {number}",
            capacity=kilobytes(disk.capacity_bytes),
            initial_location=disk.initial_location,
            format=disk.format,
            capacity_bytes=disk.capacity_bytes,
        )
        for number, disk in enumerate(machine.spec.disks, 1)
    ]
    return [boot, *more]


def _interfaces(machine: Machine, uri: str) -> list[Representation]:
    return [
        MachineNetworkInterfaceRepresentation(
            id=f"{uri}/{number}",
            name=f"interface {number}",
            addresses=Reference(f"{uri}/{number}/addresses"),
            state="Active",
            mac_address=address.mac,
        )
        for number, address in enumerate(machine.status.addresses)
    ]


def _addresses(machine: Machine, uri: str) -> list[Representation]:
    number = int(uri.split("/")[-2])
    ip = machine.status.addresses[number].ip
    if not ip:
        return []
    return [
        MachineNetworkInterfaceAddressRepresentation(
            id=f"{uri}/0",
            address=AddressValue(ip, "dynamic", "IPv6" if ":" in ip else "IPv4"),
        )
    ]


def _none(_machine: Machine, _uri: str) -> list[Representation]:
    return []


PARTS = (
    Part("disks", DiskRepresentation, "disks", _disks),
    Part("volumes", MachineVolumeRepresentation, "machineVolumes", _none),
    Part(
        "networkInterfaces",
        MachineNetworkInterfaceRepresentation,
        "machineNetworkInterfaces",
        _interfaces,
        (
            Part(
                "addresses",
                MachineNetworkInterfaceAddressRepresentation,
                "machineNetworkInterfaceAddresses",
                _addresses,
            ),
        ),
    ),
    Part("snapshots", MachineSnapshotRepresentation, "machineSnapshots", _none),
)
