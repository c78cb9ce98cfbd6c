"""Addresses for simulated machines: computed from the machine's id, nothing is set up."""

from __future__ import annotations

import hashlib
from types import TracebackType
from typing import Self

from stratuslab.core.contracts.machine import GuestAddress
from stratuslab.vm_controller.drivers.base import DomainState, GuestInterface, Hypervisor
from stratuslab.vm_controller.drivers.network_base import SSH_PORT, machine_mac


class SimulatedNetwork:
    """Gives every machine an address in 10.0.0.0/8 as soon as it runs."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    async def attach(self, machine_id: str) -> GuestInterface:
        """A card without a network."""
        return GuestInterface(mac=machine_mac(machine_id))

    async def address(self, machine_id: str, hypervisor: Hypervisor) -> GuestAddress | None:
        """The computed address while the machine runs."""
        domain = await hypervisor.find(machine_id)
        if domain is None or domain.state is not DomainState.RUNNING:
            return None
        ip = simulated_ip(machine_id)
        return GuestAddress(mac=machine_mac(machine_id), ip=ip, ssh_host=ip, ssh_port=SSH_PORT)

    async def release(self, machine_id: str) -> None:
        """Nothing was taken."""


def simulated_ip(machine_id: str) -> str:
    """An address of 10.0.0.0/8 whose last byte is neither 0 nor 255."""
    number = int.from_bytes(hashlib.sha256(machine_id.encode()).digest()[:8])
    return f"10.{number >> 8 & 255}.{number >> 16 & 255}.{number % 254 + 1}"
