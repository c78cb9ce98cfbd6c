"""The network of simulated machines: nothing is set up, the simulated host gives the address."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from stratuslab.core.contracts.machine import GuestAddress
from stratuslab.vm_controller.drivers.base import GuestInterface, Hypervisor
from stratuslab.vm_controller.drivers.network_base import SSH_PORT, machine_mac


class SimulatedNetwork:
    """Every machine gets the address that its simulated guest claims to have."""

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
        """The guest's address once it has booted."""
        ip = await hypervisor.address(machine_id)
        if ip is None:
            return None
        return GuestAddress(mac=machine_mac(machine_id), ip=ip, ssh_host=ip, ssh_port=SSH_PORT)

    async def release(self, machine_id: str) -> None:
        """Nothing was taken."""
