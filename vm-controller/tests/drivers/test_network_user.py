"""Ports of user-mode networking: one for each machine, kept, never two for the same."""

from __future__ import annotations

import socket
from pathlib import Path
from uuid import uuid4

import pytest

from stratuslab.vm_controller.drivers.base import HypervisorUnavailable
from stratuslab.vm_controller.drivers.network_base import machine_mac
from stratuslab.vm_controller.drivers.network_user import UserNetwork
from stratuslab.vm_controller.drivers.simulated import SimulatedHypervisor

PORTS = range(22710, 22720)


@pytest.fixture
def network(tmp_path: Path) -> UserNetwork:
    return UserNetwork(tmp_path, ports=PORTS)


async def port(network: UserNetwork, id: str) -> int:
    interface = await network.attach(id)
    (forward,) = interface.forwards
    assert forward.host_address == "127.0.0.1"
    assert forward.guest_port == 22
    return forward.host_port


async def test_a_machine_keeps_its_port_over_restarts(network: UserNetwork, tmp_path: Path) -> None:
    id = str(uuid4())
    first = await port(network, id)
    with socket.create_server(("127.0.0.1", first)):  # as its running guest does
        assert await port(network, id) == first
        assert await port(UserNetwork(tmp_path, ports=PORTS), id) == first


async def test_no_two_machines_share_a_port_and_at_last_there_is_none(
    network: UserNetwork,
) -> None:
    taken = [await port(network, str(uuid4())) for _ in PORTS]
    assert sorted(taken) == list(PORTS)
    with pytest.raises(HypervisorUnavailable, match="22710 to 22719"):
        await network.attach(str(uuid4()))


async def test_a_port_that_somebody_else_uses_is_passed_over(network: UserNetwork) -> None:
    with socket.create_server(("127.0.0.1", PORTS[3])):
        taken = [await port(network, str(uuid4())) for _ in PORTS[1:]]
    assert PORTS[3] not in taken


async def test_a_released_port_is_free_again(network: UserNetwork, tmp_path: Path) -> None:
    ids = [str(uuid4()) for _ in PORTS]
    ports = [await port(network, id) for id in ids]
    await network.release(ids[4])
    await network.release(ids[4])
    assert await port(network, str(uuid4())) == ports[4]


async def test_the_address_is_the_hosts_with_the_port(network: UserNetwork, tmp_path: Path) -> None:
    id = str(uuid4())
    async with SimulatedHypervisor(
        tmp_path / "host", "host", cpu_count=1, memory_kib=1 << 20
    ) as hypervisor:
        assert await network.address(id, hypervisor) is None
        taken = await port(network, id)
        address = await network.address(id, hypervisor)
    assert address is not None
    assert (address.ssh_host, address.ssh_port) == ("127.0.0.1", taken)
    assert address.mac == machine_mac(id)


def test_a_mac_is_local_unicast_and_always_the_same() -> None:
    one, other = str(uuid4()), str(uuid4())
    assert machine_mac(one) == machine_mac(one) != machine_mac(other)
    first = int(machine_mac(one).split(":")[0], 16)
    assert first & 0b10
    assert not first & 0b01
