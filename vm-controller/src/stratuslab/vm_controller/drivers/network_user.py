"""QEMU's user-mode network: needs no rights, gives the guest the way out and one ssh port in.

Owns the claims on ports of the host. A claim is a file in the machine's folder, so a machine
keeps its port over restarts of everything; one agent per host makes claims.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

from stratuslab.core.contracts.machine import GuestAddress
from stratuslab.vm_controller.drivers.base import (
    GuestInterface,
    Hypervisor,
    HypervisorUnavailable,
    PortForward,
)
from stratuslab.vm_controller.drivers.machine_folder import MachineFolders
from stratuslab.vm_controller.drivers.network_base import SSH_PORT, machine_mac

CLAIM = "ssh-port"
DEFAULT_PORTS = range(22000, 24000)


class UserNetwork:
    """Forwards a port of `host_address` out of `ports` to the guest's ssh."""

    def __init__(
        self,
        machines: Path,
        *,
        host_address: str = "127.0.0.1",
        ports: range = DEFAULT_PORTS,
    ) -> None:
        self._folders = MachineFolders(machines)
        self._host_address = host_address
        self._ports = ports
        self._claiming = asyncio.Lock()

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
        """The card with its forwarded port; the first call claims the port."""
        async with self._claiming:
            port = self._claimed(machine_id) or self._claim(machine_id)
        forward = PortForward(host_address=self._host_address, host_port=port, guest_port=SSH_PORT)
        return GuestInterface(mac=machine_mac(machine_id), forwards=(forward,))

    async def address(self, machine_id: str, hypervisor: Hypervisor) -> GuestAddress | None:  # noqa: ARG002
        """The host's address and the port: known as soon as the card is attached."""
        port = self._claimed(machine_id)
        if port is None:
            return None
        return GuestAddress(
            mac=machine_mac(machine_id),
            ip=self._host_address,
            ssh_host=self._host_address,
            ssh_port=port,
        )

    async def release(self, machine_id: str) -> None:
        """Give the port back."""
        self._folders.remove(machine_id, CLAIM)

    def _claimed(self, machine_id: str) -> int | None:
        try:
            return int((self._folders.path(machine_id) / CLAIM).read_text())
        except (OSError, ValueError):
            return None

    def _claim(self, machine_id: str) -> int:
        taken = {file.read_text().strip() for file in self._folders.root.glob(f"*/{CLAIM}")}
        first = int.from_bytes(hashlib.sha256(machine_id.encode()).digest()[:8]) % len(self._ports)
        for port in chain(self._ports[first:], self._ports[:first]):
            if str(port) not in taken and self._is_free(port):
                self._folders.write(machine_id, CLAIM, f"{port}\n".encode())
                return port
        raise HypervisorUnavailable(
            f"All ports from {self._ports.start} to {self._ports.stop - 1} of this host are taken.",
            hint="Give the agent a larger range of ports.",
        )

    def _is_free(self, port: int) -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self._host_address, port))
            except OSError:
                return False
        return True
