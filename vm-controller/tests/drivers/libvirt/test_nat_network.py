"""The cloud's libvirt network as XML, and what counts as taken."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network

from stratuslab.vm_controller.drivers.libvirt.connection import LibvirtConnection
from stratuslab.vm_controller.drivers.libvirt.nat_network import (
    DEFAULT_SUBNETS,
    NatNetwork,
    network_xml,
    routed_networks,
)

ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
docker0\t0000B10A\t00000000\t0001\t0\t0\t0\t00F0FFFF\t0\t0\t0
"""


def test_the_xml_is_as_agreed(golden: Callable[[str, str], str]) -> None:
    made = network_xml("stratuslab-0a1b2c3d", "slbr0a1b2c3d", IPv4Network("10.177.0.0/20"))
    assert made == golden("nat-network.xml", made)


def test_the_hosts_routes_are_taken_but_not_the_default_route() -> None:
    assert list(routed_networks(ROUTES)) == [
        IPv4Network("192.168.2.0/24"),
        IPv4Network("10.177.0.0/20"),
    ]


def test_each_cloud_has_names_of_its_own_that_linux_accepts() -> None:
    connection = LibvirtConnection(
        "test:///default", on_lifecycle=lambda *_: None, on_restored=lambda: None
    )
    one, same, other = (NatNetwork(connection, cloud_id=cloud_id) for cloud_id in ("a", "a", "b"))
    assert (one.name, one.bridge) == (same.name, same.bridge)
    assert one.name != other.name
    assert one.bridge != other.bridge
    assert len(one.bridge) <= 15


def test_the_default_subnets_do_not_overlap() -> None:
    assert all(
        not one.overlaps(other)
        for number, one in enumerate(DEFAULT_SUBNETS)
        for other in DEFAULT_SUBNETS[number + 1 :]
    )
