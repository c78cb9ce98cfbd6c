"""Rows: libvirt's test driver, bare and through our driver's XML; nothing where libvirt is not."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

DOMAINS = 200


async def rows(folder: Path) -> list[dict[str, Any]]:
    """define + create + destroy + undefine a second, ours beside bare libvirt-python."""
    try:
        import libvirt  # noqa: F401
    except ImportError:
        return []
    bare = await asyncio.to_thread(_bare)
    ours = await asyncio.to_thread(_ours, folder)
    return [
        {
            "name": "libvirt test driver: life cycles /s",
            "value": ours,
            "floor": bare,
            "notes": "our domain description beside the shortest possible one",
        }
    ]


def _bare() -> float:
    def xml(id: str) -> str:
        return (
            f"<domain type='test'><name>{id}</name><uuid>{id}</uuid><memory>131072</memory>"
            "<os><type>hvm</type></os></domain>"
        )

    return _cycles(xml)


def _ours(folder: Path) -> float:
    from stratuslab.vm_controller.drivers.base import (
        DomainDisk,
        DomainMark,
        DomainSpec,
        GuestInterface,
    )
    from stratuslab.vm_controller.drivers.libvirt.domain_xml import domain_xml

    def xml(id: str) -> str:
        spec = DomainSpec(
            id=id,
            name=id,
            cpu=1,
            memory_kib=131072,
            disks=(DomainDisk(path=folder / "boot.qcow2", format="qcow2"),),
            interface=GuestInterface(mac="02:00:00:00:00:01", network="default"),
            console_log=folder / "console.log",
            mark=DomainMark(cloud_id="bench", generation=1, fence=1),
        )
        text = domain_xml(spec, domain_type="qemu")
        return text.replace('type="qemu"', 'type="test"', 1).replace(
            "type='qemu'", "type='test'", 1
        )

    return _cycles(xml)


def _cycles(xml: Any) -> float:
    import libvirt

    connection = libvirt.open("test:///default")
    try:
        begin = time.perf_counter()
        for _ in range(DOMAINS):
            domain = connection.defineXML(xml(str(uuid4())))
            domain.create()
            domain.destroy()
            domain.undefine()
        return DOMAINS / (time.perf_counter() - begin)
    finally:
        connection.close()
