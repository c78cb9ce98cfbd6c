"""A whole guest out of its parts: image, disks, seed, network, driver; with ssh into it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from eventually import eventually
from hypervisor_hosts import stopped
from private_libvirt_fixture import LibvirtProcess
from real_parts import missing_programs, missing_root_network, require

from stratuslab.core.contracts.machine import DiskSpec, GuestAddress, GuestLogin
from stratuslab.vm_controller.drivers.base import DomainMark, DomainSpec, StopReason
from stratuslab.vm_controller.drivers.boot_disk_overlay import OverlayBootDisks
from stratuslab.vm_controller.drivers.libvirt import LibvirtHypervisor
from stratuslab.vm_controller.drivers.libvirt.nat_network import NatNetwork
from stratuslab.vm_controller.drivers.network_base import GuestNetwork
from stratuslab.vm_controller.drivers.network_user import UserNetwork
from stratuslab.vm_controller.drivers.seed import NoCloudSeeds

pytestmark = pytest.mark.qemu

MIB = 1 << 20


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A new ssh key; its public part lies beside it."""
    require("ssh", missing_programs(["ssh", "ssh-keygen"], "openssh-client"))
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return key


@pytest.fixture
async def hypervisor(private_libvirt: LibvirtProcess) -> AsyncIterator[LibvirtHypervisor]:
    async with LibvirtHypervisor(private_libvirt.uri, boot_id=private_libvirt.boot_id) as driver:
        yield driver
        for domain in await driver.list_domains():
            await driver.remove(domain.id)


@pytest.fixture(params=["user", "nat"])
async def network(
    request: pytest.FixtureRequest, hypervisor: LibvirtHypervisor, tmp_path: Path
) -> AsyncIterator[GuestNetwork]:
    if request.param == "user":
        async with UserNetwork(tmp_path / "machines", ports=range(22730, 22760)) as user:
            yield user
        return
    require("libvirt network", missing_root_network())
    async with NatNetwork(hypervisor.connection, cloud_id=str(uuid4())) as nat:
        try:
            yield nat
        finally:
            await nat.remove()


async def test_a_guest_boots_with_its_seed_and_lets_its_user_in(
    hypervisor: LibvirtHypervisor, network: GuestNetwork, image: Path, key: Path, tmp_path: Path
) -> None:
    login = GuestLogin(user_name="alice", public_key=key.with_suffix(".pub").read_text())
    id = str(uuid4())
    disks = OverlayBootDisks(tmp_path / "machines", [image.parent])
    seeds = NoCloudSeeds(tmp_path / "machines")
    mark = DomainMark(cloud_id="c", generation=1, fence=1)
    spec = DomainSpec(
        id=id,
        name=f"real-{id[:8]}",
        cpu=1,
        memory_kib=128 * 1024,
        disks=(
            await disks.prepare(id, image.as_uri()),
            await disks.prepare_data(id, 0, DiskSpec(capacity_bytes=64 * MIB, format="swap")),
            await seeds.prepare(id, host_name="web-1", login=login, user_data=None),
        ),
        interface=await network.attach(id),
        console_log=tmp_path / "console.log",
        mark=mark,
    )
    await hypervisor.start(spec)

    async def ready() -> bool:
        return b"STRATUSLAB READY name=web-1" in await hypervisor.console(id, 100_000)

    await eventually(ready, seconds=90, every_seconds=0.1)
    address = await network.address(id, hypervisor)
    assert address is not None
    said = await ssh(address, key, "hostname; cat /sys/class/block/vdb/serial")
    assert said.split() == ["web-1", "data-0"]
    await hypervisor.shutdown(id, mark)
    assert (await stopped(hypervisor, id)).stop_reason is StopReason.GUEST
    await hypervisor.remove(id)
    await network.release(id)
    await seeds.release(id)
    await disks.release(id)
    assert not (tmp_path / "machines" / id).exists()


async def test_two_clouds_have_networks_side_by_side(hypervisor: LibvirtHypervisor) -> None:
    require("libvirt network", missing_root_network())
    async with (
        _network(hypervisor, "one") as one,
        _network(hypervisor, "other") as other,
        NatNetwork(hypervisor.connection, cloud_id="one"),
    ):
        listed = await hypervisor.connection.call(
            "networks", lambda c: {each.name(): each.isActive() for each in c.listAllNetworks()}
        )
        assert listed[one.name]
        assert listed[other.name]
        assert Path(f"/sys/class/net/{one.bridge}").exists()
    assert not Path(f"/sys/class/net/{one.bridge}").exists()


async def test_a_network_that_vanished_is_made_again(hypervisor: LibvirtHypervisor) -> None:
    require("libvirt network", missing_root_network())
    async with _network(hypervisor) as network:
        await hypervisor.connection.call(
            "destroy", lambda c: c.networkLookupByName(network.name).destroy()
        )
        interface = await network.attach(str(uuid4()))
        assert interface.network == network.name
        assert Path(f"/sys/class/net/{network.bridge}").exists()


@asynccontextmanager
async def _network(
    hypervisor: LibvirtHypervisor, cloud_id: str = "alone"
) -> AsyncIterator[NatNetwork]:
    async with NatNetwork(hypervisor.connection, cloud_id=cloud_id) as network:
        try:
            yield network
        finally:
            await network.remove()


async def ssh(address: GuestAddress, key: Path, command: str) -> str:
    """What the command says in the guest; tried until the guest lets us in."""

    async def attempt() -> str:
        process = await asyncio.create_subprocess_exec(
            *("ssh", "-q", "-i", str(key), "-p", str(address.ssh_port), "-o", "BatchMode=yes"),
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
            *("-o", "ConnectTimeout=3", f"alice@{address.ssh_host}", command),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        return output.decode() if process.returncode == 0 else ""

    return str(await eventually(attempt, seconds=30, every_seconds=0.2))
