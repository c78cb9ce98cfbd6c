"""How a machine gets its network card and its address: the port that netctl will take over.

Adapters: `network_simulated`, `network_user` (QEMU's user-mode network with a forwarded ssh
port, needs no rights) and `libvirt.nat_network` (a libvirt network with DHCP, needs root).
Every call is idempotent.
"""

from __future__ import annotations

import hashlib
from types import TracebackType
from typing import Protocol, Self

from stratuslab.core.contracts.machine import GuestAddress
from stratuslab.vm_controller.drivers.base import GuestInterface, Hypervisor

SSH_PORT = 22


class GuestNetwork(Protocol):
    """One host's network for guests. Use as `async with`; all calls only inside it.

    Calls raise `HypervisorUnavailable` when the network cannot be reached now, and
    `ConfigurationError` when entering on a host that cannot offer it.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def attach(self, machine_id: str) -> GuestInterface:
        """The machine's network card; the same one at every call until `release`."""
        ...

    async def address(self, machine_id: str, hypervisor: Hypervisor) -> GuestAddress | None:
        """How the guest is reached, None while that is not known yet."""
        ...

    async def release(self, machine_id: str) -> None:
        """Give back what `attach` took; nothing taken is success."""
        ...


def machine_mac(machine_id: str) -> str:
    """The machine's MAC address: locally administered, the same on every host and at any time."""
    digest = hashlib.sha256(machine_id.encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))
