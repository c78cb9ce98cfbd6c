"""Builds scheduler and node agent out of their ports, and nothing else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

from stratuslab.core.bus.base import Bus
from stratuslab.core.contracts.machine import GuestLogin
from stratuslab.core.errors import Unavailable
from stratuslab.core.security.vault import Vault
from stratuslab.core.service import Service
from stratuslab.core.store.base import Store
from stratuslab.vm_controller.agent import AgentOptions, NodeAgent
from stratuslab.vm_controller.drivers.base import DomainDisk, Hypervisor
from stratuslab.vm_controller.drivers.boot_disk_overlay import OverlayBootDisks
from stratuslab.vm_controller.drivers.boot_disk_simulated import SimulatedBootDisks
from stratuslab.vm_controller.drivers.network_base import GuestNetwork
from stratuslab.vm_controller.drivers.network_simulated import SimulatedNetwork
from stratuslab.vm_controller.drivers.network_user import UserNetwork
from stratuslab.vm_controller.drivers.seed import NoCloudSeeds
from stratuslab.vm_controller.drivers.simulated import SimulatedHypervisor
from stratuslab.vm_controller.guest import AssembledGuest
from stratuslab.vm_controller.host_memory import HostMemory
from stratuslab.vm_controller.housekeeping import Housekeeping
from stratuslab.vm_controller.scheduler import Scheduler
from stratuslab.vm_controller.settings import AgentSettings, SchedulerSettings

STORE_PATIENCE_SECONDS = 60.0


async def run_scheduler(service: Service[SchedulerSettings]) -> None:
    """The body of `stratuslab-vm-scheduler`."""
    settings = service.settings
    replica = str(uuid4())
    async with service.open_store() as store, service.open_bus() as bus:
        scheduler = Scheduler(
            store,
            bus,
            replica=replica,
            sweep_seconds=settings.sweep_seconds,
            shards=settings.sweep_shards,
        )
        housekeeping = Housekeeping(
            store, bus, replica=replica, every_seconds=settings.housekeeping_seconds
        )
        async with asyncio.TaskGroup() as tasks:
            working = [
                tasks.create_task(scheduler.run(), name="scheduler"),
                tasks.create_task(housekeeping.run(), name="housekeeping"),
            ]
            await service.until_stopped()
            for task in working:
                task.cancel()


async def run_agent(service: Service[AgentSettings]) -> None:
    """The body of `stratuslab-vm-agent`: one agent, or one for each simulated host."""
    vault = service.open_vault()
    async with (
        service.open_store() as store,
        service.open_bus() as bus,
        AsyncExitStack() as drivers,
    ):
        agents = [
            await _agent(service.settings, host, store, bus, vault, drivers)
            for host in host_names(service.settings)
        ]
        for agent in agents:
            service.check(f"agent {agent.host}", _ready_check(agent))
        async with asyncio.TaskGroup() as tasks:
            working = [
                tasks.create_task(agent.run(), name=f"agent {agent.host}") for agent in agents
            ]
            await service.until_stopped()
            for task in working:
                task.cancel()


def host_names(settings: AgentSettings) -> list[str]:
    """The hosts this process is the agent of."""
    if settings.hypervisor == "simulated" and settings.hosts > 1:
        stem = settings.host or "host"
        return [f"{stem}-{number}" for number in range(1, settings.hosts + 1)]
    name = settings.host or socket.gethostname().partition(".")[0]
    return ["".join(each if each.isalnum() or each in "-_" else "-" for each in name) or "host"]


async def _agent(
    settings: AgentSettings,
    host: str,
    store: Store,
    bus: Bus,
    vault: Vault,
    drivers: AsyncExitStack,
) -> NodeAgent:
    folder = Path(settings.folder)
    memory = HostMemory(folder / host)
    hypervisor: Hypervisor
    if settings.hypervisor == "simulated":
        hypervisor = await drivers.enter_async_context(_simulated(settings, folder, host))
        network: GuestNetwork = SimulatedNetwork()
        parts = AssembledGuest(
            store, SimulatedBootDisks(), NoSeeds(), network, vault, folder / host / "consoles"
        )
    else:
        hypervisor, network = await _libvirt(settings, folder / host, store, drivers)
        machines = folder / host / "machines"
        images = [Path(each) for each in settings.image_folders]
        parts = AssembledGuest(
            store,
            OverlayBootDisks(machines, images),
            NoCloudSeeds(machines),
            network,
            vault,
            _made(folder / host / "consoles"),
        )
    await drivers.enter_async_context(network)
    options = AgentOptions(
        heartbeat_seconds=settings.heartbeat_seconds,
        heartbeat_ttl_seconds=settings.lost_after_seconds,
        sweep_seconds=settings.sweep_seconds,
        inspection_seconds=settings.inspection_seconds,
        workers=settings.workers,
        shutdown_patience_seconds=settings.shutdown_patience_seconds,
    )
    return NodeAgent(host, store, bus, hypervisor, parts, memory, options)


def _simulated(settings: AgentSettings, folder: Path, host: str) -> SimulatedHypervisor:
    return SimulatedHypervisor(
        folder,
        host,
        cpu_count=settings.simulated_cpus,
        memory_kib=settings.simulated_memory_gib * 1024 * 1024,
        boot_id=settings.boot_id,
    )


async def _libvirt(
    settings: AgentSettings, folder: Path, store: Store, drivers: AsyncExitStack
) -> tuple[Hypervisor, GuestNetwork]:
    from stratuslab.vm_controller.drivers.libvirt.driver import LibvirtHypervisor
    from stratuslab.vm_controller.drivers.libvirt.nat_network import NatNetwork

    hypervisor = LibvirtHypervisor(
        settings.libvirt_uri,
        domain_type=settings.domain_type,
        boot_id=settings.boot_id or None,
    )
    await drivers.enter_async_context(hypervisor)
    if settings.guest_network == "user":
        return hypervisor, UserNetwork(folder / "machines")
    identity = await _patiently(store)
    return hypervisor, NatNetwork(hypervisor.connection, cloud_id=identity)


async def _patiently(store: Store) -> str:
    """The cloud's id, once the store answers. Raises Unavailable when it never does."""
    async with asyncio.timeout(STORE_PATIENCE_SECONDS):
        while True:
            try:
                return (await store.identity()).cloud_id
            except Unavailable:
                await asyncio.sleep(0.2)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _ready_check(agent: NodeAgent) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        if not agent.ready.is_set():
            raise Unavailable("The agent has not taken over its host yet.")

    return check


class NoSeeds:
    """Simulated guests read no seed."""

    async def prepare(
        self,
        machine_id: str,  # noqa: ARG002
        *,
        host_name: str,  # noqa: ARG002
        login: GuestLogin | None,  # noqa: ARG002
        user_data: bytes | None,  # noqa: ARG002
    ) -> DomainDisk | None:
        """None."""
        return None

    async def release(self, machine_id: str) -> None:
        """Nothing was made."""
