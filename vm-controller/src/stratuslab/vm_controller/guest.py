"""What a guest is put together from, before the hypervisor gets it.

Owns the `GuestParts` Protocol: boot disk, data disks, seed and network card of a machine. Disks
and cards come from ports that the storage and network services will take over.
"""

from __future__ import annotations

from typing import Protocol

from stratuslab.core.contracts.machine import GuestAddress, Machine
from stratuslab.vm_controller.drivers.base import DomainMark, DomainSpec, Hypervisor


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
