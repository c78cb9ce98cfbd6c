"""Domain specifications as libvirt XML, and marks back from it. Pure.

Golden files in `tests/drivers/libvirt/golden/` show what comes out.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

import msgspec

from stratuslab.vm_controller.drivers.base import (
    DomainDisk,
    DomainMark,
    DomainRejected,
    DomainSpec,
    GuestInterface,
    PortForward,
)

MARK_NAMESPACE = "urn:stratuslab:machine-mark:1"
MARK_PREFIX = "stratuslab"
MARK_ELEMENT = "mark"
QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"

USER_CARD_SLOT = "0x1d"
"""PCI slot of a user-mode card: QEMU places it first, libvirt fills slots from the low end."""
AGENT_CHANNELS = ("org.qemu.guest_agent.0", "org.stratuslab.guest.0")
DISK_LETTERS = "abcdefghijklmnopqrst"
"""A PCI bus has room for about this many disks beside the other devices."""
EMULATED_CODE_CACHE_MIB = 64
"""QEMU's own default, 1 GiB, costs more memory than a small guest has."""

Xml.register_namespace(MARK_PREFIX, MARK_NAMESPACE)
Xml.register_namespace("qemu", QEMU_NAMESPACE)


def domain_xml(spec: DomainSpec, domain_type: str, *, machine: str = "pc") -> str:
    """The domain's definition. `domain_type` is `kvm` or `qemu` (emulation)."""
    domain = Xml.Element("domain", type=domain_type)
    _text(domain, "name", spec.name)
    _text(domain, "uuid", spec.id)
    metadata = Xml.SubElement(domain, "metadata")
    mark = Xml.SubElement(metadata, f"{{{MARK_NAMESPACE}}}{MARK_ELEMENT}")
    mark.attrib.update(_mark_attributes(spec.mark))
    _text(domain, "memory", str(spec.memory_kib), unit="KiB")
    _text(domain, "vcpu", str(spec.cpu))
    system = Xml.SubElement(domain, "os")
    _text(system, "type", "hvm", arch="x86_64", machine=machine)
    Xml.SubElement(system, "boot", dev="hd")
    _features(domain, domain_type)
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        _text(domain, f"on_{event}", action)
    power_management = Xml.SubElement(domain, "pm")
    Xml.SubElement(power_management, "suspend-to-mem", enabled="no")
    Xml.SubElement(power_management, "suspend-to-disk", enabled="no")
    _devices(domain, spec)
    if spec.interface.network is None:
        _user_network(domain, spec.interface)
    Xml.indent(domain)
    return Xml.tostring(domain, encoding="unicode") + "\n"


def mark_xml(mark: DomainMark) -> str:
    """The mark alone, as `virDomainSetMetadata` wants it: without its namespace."""
    return Xml.tostring(Xml.Element(MARK_ELEMENT, _mark_attributes(mark)), encoding="unicode")


def read_mark(element: str) -> DomainMark | None:
    """The mark that `mark_xml` wrote; None when it cannot be understood."""
    try:
        attributes = Xml.fromstring(element).attrib  # noqa: S314 - libvirt's own output
        return msgspec.convert(dict(attributes), DomainMark, strict=False)
    except (Xml.ParseError, msgspec.ValidationError):
        return None


def console_log(domain: str) -> Path | None:
    """Where a defined domain's serial console is logged, from its XML."""
    log = Xml.fromstring(domain).find("devices/serial/log")  # noqa: S314 - libvirt's own output
    file = None if log is None else log.get("file")
    return None if file is None else Path(file)


def _features(domain: Xml.Element, domain_type: str) -> None:
    features = Xml.SubElement(domain, "features")
    Xml.SubElement(features, "acpi")
    if domain_type == "kvm":
        Xml.SubElement(domain, "cpu", mode="host-model")
    else:
        code_cache = Xml.SubElement(features, "tcg")
        _text(code_cache, "tb-cache", str(EMULATED_CODE_CACHE_MIB), unit="MiB")
        Xml.SubElement(domain, "cpu", mode="maximum")
    Xml.SubElement(domain, "clock", offset="utc")


def _devices(domain: Xml.Element, spec: DomainSpec) -> None:
    devices = Xml.SubElement(domain, "devices")
    if len(spec.disks) > len(DISK_LETTERS):
        raise DomainRejected(
            f"{spec.name} has {len(spec.disks)} disks, at most {len(DISK_LETTERS)} are possible."
        )
    for letter, disk in zip(DISK_LETTERS, spec.disks, strict=False):
        _disk(devices, disk, f"vd{letter}")
    Xml.SubElement(devices, "controller", type="usb", model="none")
    Xml.SubElement(devices, "controller", type="virtio-serial", index="0")
    if spec.interface.network is not None:
        interface = Xml.SubElement(devices, "interface", type="network")
        Xml.SubElement(interface, "mac", address=spec.interface.mac)
        Xml.SubElement(interface, "source", network=spec.interface.network)
        Xml.SubElement(interface, "model", type="virtio")
    serial = Xml.SubElement(devices, "serial", type="pty")
    Xml.SubElement(serial, "log", file=str(spec.console_log), append="on")
    Xml.SubElement(serial, "target", port="0")
    for name in AGENT_CHANNELS:
        channel = Xml.SubElement(devices, "channel", type="unix")
        Xml.SubElement(channel, "target", type="virtio", name=name)
    Xml.SubElement(devices, "memballoon", model="virtio")
    random = Xml.SubElement(devices, "rng", model="virtio")
    _text(random, "backend", "/dev/urandom", model="random")
    Xml.SubElement(devices, "panic", model="isa")


def _disk(devices: Xml.Element, disk: DomainDisk, target: str) -> None:
    element = Xml.SubElement(devices, "disk", type="file", device="disk")
    driver = Xml.SubElement(element, "driver", name="qemu", type=disk.format)
    if not disk.read_only:
        driver.set("discard", "unmap")
    Xml.SubElement(element, "source", file=str(disk.path))
    Xml.SubElement(element, "target", dev=target, bus="virtio")
    if disk.read_only:
        Xml.SubElement(element, "readonly")
    if disk.serial:
        _text(element, "serial", disk.serial)


def _user_network(domain: Xml.Element, interface: GuestInterface) -> None:
    """QEMU's user-mode network by its own arguments: libvirt 9 cannot forward ports itself."""
    forwards = "".join(f",hostfwd={_forward(forward)}" for forward in interface.forwards)
    arguments = (
        "-netdev",
        f"user,id=user0{forwards}",
        "-device",
        f"virtio-net-pci,netdev=user0,mac={interface.mac},bus=pci.0,addr={USER_CARD_SLOT}",
    )
    commandline = Xml.SubElement(domain, f"{{{QEMU_NAMESPACE}}}commandline")
    for argument in arguments:
        Xml.SubElement(commandline, f"{{{QEMU_NAMESPACE}}}arg", value=argument)


def _forward(forward: PortForward) -> str:
    return f"tcp:{forward.host_address}:{forward.host_port}-:{forward.guest_port}"


def _mark_attributes(mark: DomainMark) -> dict[str, str]:
    attributes = msgspec.to_builtins(mark)
    return {name: _attribute(value) for name, value in attributes.items()}


def _attribute(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(parent: Xml.Element, tag: str, text: str, **attributes: str) -> Xml.Element:
    element = Xml.SubElement(parent, tag, attributes)
    element.text = text
    return element
