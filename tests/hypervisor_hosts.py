"""Hosts to check drivers on: what the suite may do to a host behind the driver's back."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from boot_sector import BANNER, write_boot_disk
from eventually import eventually
from private_libvirt_fixture import LibvirtProcess

from stratuslab.vm_controller.drivers.base import (
    Domain,
    DomainDisk,
    DomainMark,
    DomainSpec,
    DomainState,
    GuestInterface,
    Hypervisor,
)
from stratuslab.vm_controller.drivers.libvirt import LibvirtHypervisor, operations
from stratuslab.vm_controller.drivers.network_base import machine_mac
from stratuslab.vm_controller.drivers.simulated import SimulatedHypervisor, outside

MEMORY_KIB = 32768


class HostUnderTest(Protocol):
    """A host with a driver, and a guest that obeys the tests."""

    def driver(self, *, boot_id: str = "boot-1") -> Hypervisor:
        """A new driver for the same host, in the boot with this id."""
        ...

    def spec(self, id: str, mark: DomainMark, **changes: Any) -> DomainSpec:
        """A small guest with a name of its own."""
        ...

    async def booted(self, driver: Hypervisor, id: str) -> None:
        """Wait until the guest is there to react."""
        ...

    async def halt(self, driver: Hypervisor, id: str) -> None:
        """Let the guest power itself off."""
        ...

    async def crash(self, driver: Hypervisor, id: str) -> None:
        """Kill the guest from outside."""
        ...

    async def start_foreign(self, driver: Hypervisor) -> str:
        """Start a domain that is not the cloud's; its UUID."""
        ...

    async def clear(self) -> None:
        """Remove what the test left."""
        ...


class SimulatedHost:
    """The simulated driver, with its journal in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def driver(self, *, boot_id: str = "boot-1") -> Hypervisor:
        return SimulatedHypervisor(
            self._folder, "host", cpu_count=4, memory_kib=8 << 20, boot_id=boot_id
        )

    def spec(self, id: str, mark: DomainMark, **changes: Any) -> DomainSpec:
        return _spec(id, mark, self._folder, **changes)

    async def booted(self, driver: Hypervisor, id: str) -> None:
        async def ready() -> bool:
            return b"STRATUSLAB READY" in await driver.console(id, 10_000)

        await eventually(ready, seconds=20)

    async def halt(self, driver: Hypervisor, id: str) -> None:
        outside.halt(self._folder, "host", id)

    async def crash(self, driver: Hypervisor, id: str) -> None:
        outside.crash(self._folder, "host", id)

    async def start_foreign(self, driver: Hypervisor) -> str:
        return outside.start_foreign(self._folder, "host", "somebody-elses")

    async def clear(self) -> None:
        return None


class LibvirtHost:
    """QEMU guests under a private libvirt."""

    def __init__(self, instance: LibvirtProcess, folder: Path) -> None:
        self.instance = instance
        self._folder = folder
        self._terminals: list[int] = []
        self._disk = folder / "boot.raw"
        write_boot_disk(self._disk)

    def driver(self, *, boot_id: str = "boot-1") -> LibvirtHypervisor:
        return LibvirtHypervisor(self.instance.uri, domain_type="qemu", boot_id=boot_id)

    def spec(self, id: str, mark: DomainMark, **changes: Any) -> DomainSpec:
        disk = DomainDisk(path=self._disk, format="raw", read_only=True)
        return _spec(id, mark, self._folder, **{"disks": (disk,)} | changes)

    async def booted(self, driver: Hypervisor, id: str) -> None:
        async def ready() -> bool:
            return BANNER in await driver.console(id, 10_000)

        await eventually(ready, seconds=30)

    async def halt(self, driver: Hypervisor, id: str) -> None:
        await self.booted(driver, id)
        self.type(await self.terminal(driver, id), b"o")

    async def panic(self, driver: Hypervisor, id: str) -> None:
        """Let the guest report a crash of its own."""
        await self.booted(driver, id)
        self.type(await self.terminal(driver, id), b"c")

    async def crash(self, driver: Hypervisor, id: str) -> None:
        os.kill(await self.pid(driver, id), signal.SIGKILL)

    async def pid(self, driver: Hypervisor, id: str) -> int:
        """The guest's QEMU process."""
        domain = await driver.find(id)
        assert domain is not None
        return self.instance.guest_pid(domain.name)

    async def start_foreign(self, driver: Hypervisor) -> str:
        assert isinstance(driver, LibvirtHypervisor)
        xml = (
            f"<domain type='qemu'><name>foreign-{uuid4().hex[:8]}</name>"
            f"<memory unit='KiB'>{MEMORY_KIB}</memory><os><type>hvm</type></os></domain>"
        )
        return await driver.connection.call("foreign", lambda c: str(c.createXML(xml).UUIDString()))

    async def clear(self) -> None:
        for terminal in self._terminals:
            os.close(terminal)
        async with self.driver() as driver:
            for domain in await driver.list_domains():
                await driver.remove(domain.id)

    async def terminal(self, driver: Hypervisor, id: str) -> str:
        """The terminal device that is the guest's serial port."""
        assert isinstance(driver, LibvirtHypervisor)
        xml = await driver.connection.call("console", lambda c: operations.definition(c, id))
        found = re.search(r"/dev/pts/\d+", xml or "")
        assert found is not None
        return found.group()

    def type(self, terminal: str, text: bytes) -> None:
        """Type something into the guest's serial port."""
        descriptor = os.open(terminal, os.O_RDWR | os.O_NOCTTY)
        self._terminals.append(descriptor)  # closed too early, QEMU would not read what was typed
        os.write(descriptor, text)


async def stopped(driver: Hypervisor, id: str) -> Domain:
    """The domain, once it has stopped."""

    async def look() -> Domain | None:
        domain = await driver.find(id)
        return domain if domain is not None and domain.state is DomainState.STOPPED else None

    found = await eventually(look, seconds=30, what="the stop")
    assert isinstance(found, Domain)
    return found


def _spec(id: str, mark: DomainMark, folder: Path, **changes: Any) -> DomainSpec:
    defaults: dict[str, Any] = {
        "id": id,
        "name": f"machine-{id[:8]}",
        "cpu": 1,
        "memory_kib": MEMORY_KIB,
        "disks": (),
        "interface": GuestInterface(mac=machine_mac(id)),
        "console_log": folder / f"{id}.log",
        "mark": mark,
    }
    return DomainSpec(**defaults | changes)
