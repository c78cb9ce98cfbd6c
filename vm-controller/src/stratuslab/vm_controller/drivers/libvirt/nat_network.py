"""A libvirt network with DHCP and NAT for one cloud's guests: needs a libvirt of root.

Owns one network of its own, named and numbered so that several clouds live on one host. It
enforces no separation between guests; that comes with the network service.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xml.etree import ElementTree as Xml

import structlog

from stratuslab.core.contracts.machine import GuestAddress
from stratuslab.core.errors import ConfigurationError
from stratuslab.vm_controller.drivers.base import GuestInterface, Hypervisor
from stratuslab.vm_controller.drivers.libvirt.binding import libvirt
from stratuslab.vm_controller.drivers.libvirt.connection import LibvirtConnection
from stratuslab.vm_controller.drivers.network_base import SSH_PORT, machine_mac

log = structlog.get_logger(__name__)

DEFAULT_SUBNETS = tuple(IPv4Network(f"10.{number}.0.0/20") for number in range(177, 209))
LEASE_MINUTES = 60
DNSMASQ_NAMESPACE = "http://libvirt.org/schemas/network/dnsmasq/1.0"
"""For `no-ping`: probing for strangers on a network of our own delays each first lease by 3 s."""
ROUTES = Path("/proc/net/route")

Xml.register_namespace("dnsmasq", DNSMASQ_NAMESPACE)


class NatNetwork:
    """Implements `GuestNetwork` on the libvirt that `connection` leads to."""

    def __init__(
        self,
        connection: LibvirtConnection,
        *,
        cloud_id: str,
        subnets: Sequence[IPv4Network] = DEFAULT_SUBNETS,
    ) -> None:
        digest = hashlib.sha256(cloud_id.encode()).hexdigest()
        self.name = f"stratuslab-{digest[:8]}"
        self.bridge = f"slbr{digest[:8]}"
        """At most 15 characters: a limit of Linux."""
        first = int(digest[8:16], 16) % len(subnets)
        self._subnets = (*subnets[first:], *subnets[:first])
        self._connection = connection

    async def __aenter__(self) -> Self:
        await self._ensure()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None  # guests outlive the agent, so does their network

    async def attach(self, machine_id: str) -> GuestInterface:
        """A card on the network, which is made anew should it be gone."""
        await self._ensure()
        return GuestInterface(mac=machine_mac(machine_id), network=self.name)

    async def address(self, machine_id: str, hypervisor: Hypervisor) -> GuestAddress | None:
        """What the DHCP server leased."""
        ip = await hypervisor.address(machine_id)
        if ip is None:
            return None
        return GuestAddress(mac=machine_mac(machine_id), ip=ip, ssh_host=ip, ssh_port=SSH_PORT)

    async def release(self, machine_id: str) -> None:
        """The lease runs out by itself."""

    async def remove(self) -> None:
        """Take the network itself away: for the end of a cloud."""
        await self._connection.call(f"Removing the network {self.name}", self._remove)

    async def _ensure(self) -> None:
        await self._connection.call(f"Preparing the network {self.name}", self._prepare)

    def _prepare(self, connection: Any) -> None:
        network = self._lookup(connection)
        if network is not None:
            if network.isActive():
                return
            network.undefine()  # its definition may be old, its subnet in use elsewhere by now
        taken = routed_networks(ROUTES.read_text()) if ROUTES.exists() else []
        for subnet in self._subnets:
            if any(subnet.overlaps(other) for other in taken):
                continue
            network = connection.networkDefineXML(network_xml(self.name, self.bridge, subnet))
            if _started(network):
                network.setAutostart(True)
                log.info("libvirt.network_made", network=self.name, subnet=str(subnet))
                return
            network.undefine()
        raise ConfigurationError(
            f"No subnet is free on this host for the network {self.name}.",
            hint="Give the agent other subnets.",
        )

    def _remove(self, connection: Any) -> None:
        network = self._lookup(connection)
        if network is None:
            return
        if network.isActive():
            network.destroy()
        network.undefine()

    def _lookup(self, connection: Any) -> Any:
        for network in connection.listAllNetworks():
            if network.name() == self.name:
                return network
        return None


def network_xml(name: str, bridge: str, subnet: IPv4Network) -> str:
    """The network's definition. Pure."""
    network = Xml.Element("network")
    Xml.SubElement(network, "name").text = name
    Xml.SubElement(network, "forward", mode="nat")
    Xml.SubElement(network, "bridge", name=bridge, stp="off", delay="0")
    ip = Xml.SubElement(network, "ip", address=str(subnet[1]), netmask=str(subnet.netmask))
    dhcp = Xml.SubElement(ip, "dhcp")
    leases = Xml.SubElement(dhcp, "range", start=str(subnet[2]), end=str(subnet[-2]))
    Xml.SubElement(leases, "lease", expiry=str(LEASE_MINUTES), unit="minutes")
    options = Xml.SubElement(network, f"{{{DNSMASQ_NAMESPACE}}}options")
    Xml.SubElement(options, f"{{{DNSMASQ_NAMESPACE}}}option", value="no-ping")
    Xml.indent(network)
    return Xml.tostring(network, encoding="unicode") + "\n"


def _started(network: Any) -> bool:
    """Start the network; False when the host uses its subnet for something else."""
    try:
        network.create()
    except libvirt.libvirtError as error:
        said = error.get_error_message() or ""
        if error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID:
            return True  # somebody else started it just now
        if "already in use" in said:
            return False
        raise
    return True


def routed_networks(table: str) -> Iterable[IPv4Network]:
    """Networks the host has routes to, from the kernel's table of little-endian hex numbers."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        destination, mask = (
            int.from_bytes(bytes.fromhex(fields[number]), "little") for number in (1, 7)
        )
        if mask:
            found.append(IPv4Network((destination, mask.bit_count())))
    return found
