"""What a guest is put together from, before the hypervisor gets it.

Owns `GuestParts`: boot disk, data disks, cloud-init seed and network card of one machine, out of
ports that the storage and network services will take over. It must not talk to the hypervisor
but to ask for addresses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stratuslab.core.contracts import SECRET
from stratuslab.core.contracts.machine import GuestAddress, GuestLogin, Machine
from stratuslab.core.store.base import Store
from stratuslab.vm_controller.drivers.base import (
    DomainDisk,
    DomainMark,
    DomainRejected,
    DomainSpec,
    Hypervisor,
)
from stratuslab.vm_controller.drivers.boot_disk import BootDisks
from stratuslab.vm_controller.drivers.network_base import GuestNetwork

_NOT_IN_HOST_NAMES = re.compile(r"[^a-z0-9]+")


class Seeds(Protocol):
    """Makes the cloud-init medium of a guest."""

    async def prepare(
        self,
        machine_id: str,
        *,
        host_name: str,
        login: GuestLogin | None,
        user_data: bytes | None,
    ) -> DomainDisk | None:
        """The seed as a read-only disk; None where guests need none."""
        ...

    async def release(self, machine_id: str) -> None:
        """Remove it; absent is success."""
        ...


class Opener(Protocol):
    """Opens sealed secrets."""

    def open(self, sealed: str, *, associated: str) -> bytes:
        """The bytes. Raises PermanentError when the key does not fit."""
        ...


class GuestParts(Protocol):
    """Makes and removes what a domain needs. Every call is idempotent."""

    async def prepare(self, machine: Machine, mark: DomainMark) -> DomainSpec:
        """Everything is in place afterwards. Raises TransientError or PermanentError."""
        ...

    async def addresses(self, machine: Machine, hypervisor: Hypervisor) -> list[GuestAddress]:
        """How the running guest is reached, as far as is known."""
        ...

    async def release(self, machine: Machine) -> None:
        """Nothing of the machine is left on the host afterwards."""
        ...


@dataclass(frozen=True)
class AssembledGuest:
    """`GuestParts` out of one host's ports."""

    store: Store
    disks: BootDisks
    seeds: Seeds
    network: GuestNetwork
    vault: Opener
    console_folder: Path

    async def prepare(self, machine: Machine, mark: DomainMark) -> DomainSpec:
        """Disks first, then the seed, then the card."""
        spec = machine.spec
        boot = await self.disks.prepare(machine.id, spec.image.location)
        data = [
            await self.disks.prepare_data(machine.id, number, disk)
            for number, disk in enumerate(spec.disks)
        ]
        seed = await self.seeds.prepare(
            machine.id,
            host_name=host_name(machine),
            login=spec.login,
            user_data=await self._user_data(machine),
        )
        return DomainSpec(
            id=machine.id,
            name=f"{host_name(machine)}.{machine.assignment.vmid}",
            cpu=spec.cpu,
            memory_kib=spec.memory_kib,
            disks=(boot, *data, *((seed,) if seed is not None else ())),
            interface=await self.network.attach(machine.id),
            console_log=self.console_folder / f"{machine.id}.log",
            mark=mark,
        )

    async def _user_data(self, machine: Machine) -> bytes | None:
        if not machine.spec.has_user_data:
            return None
        secret = await self.store.find(SECRET, machine.id)
        if secret is None:
            raise DomainRejected("The machine's user data is missing from the store.")
        return self.vault.open(secret.document.sealed, associated=f"secret/{machine.id}")

    async def addresses(self, machine: Machine, hypervisor: Hypervisor) -> list[GuestAddress]:
        """The one card's address, or what was known before."""
        address = await self.network.address(machine.id, hypervisor)
        return [address] if address is not None else machine.status.addresses

    async def release(self, machine: Machine) -> None:
        """Card, seed, disks, console log."""
        await self.network.release(machine.id)
        await self.seeds.release(machine.id)
        await self.disks.release(machine.id)
        for log in self.console_folder.glob(f"{machine.id}.log*"):
            log.unlink(missing_ok=True)


def host_name(machine: Machine) -> str:
    """The guest's host name: the machine's name as DNS allows it, else `vm-<vmid>`."""
    plain = _NOT_IN_HOST_NAMES.sub("-", machine.name.lower()).strip("-")[:48].rstrip("-")
    return plain or f"vm-{machine.assignment.vmid}"
