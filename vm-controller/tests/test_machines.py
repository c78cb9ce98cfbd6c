"""Scheduler and agents together, over the memory store and bus and simulated hosts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from eventually import eventually

from stratuslab.core import jobs
from stratuslab.core.bus.memory import MemoryBus
from stratuslab.core.contracts import HOST, JOB, MACHINE, MACHINE_TOMBSTONE, Job, Machine
from stratuslab.core.contracts.job import JobState
from stratuslab.core.contracts.machine import (
    GuestAddress,
    ImageReference,
    MachineAssignment,
    MachineSpec,
    MachineStatus,
)
from stratuslab.core.contracts.machine_states import WANTED_BY, MachineAction, Power
from stratuslab.core.contracts.messages import MACHINE_CHANGED, MACHINE_UNSCHEDULED, Event
from stratuslab.core.documents.frame import Acl, now
from stratuslab.core.store.base import Insert, Query, Replace
from stratuslab.core.store.memory import MemoryStore
from stratuslab.vm_controller.agent import AgentOptions, NodeAgent
from stratuslab.vm_controller.drivers.base import (
    DomainMark,
    DomainSpec,
    GuestInterface,
    Hypervisor,
)
from stratuslab.vm_controller.drivers.simulated import SimulatedHypervisor
from stratuslab.vm_controller.drivers.simulated.behaviour import Behaviour
from stratuslab.vm_controller.drivers.simulated.history import check_journals
from stratuslab.vm_controller.drivers.simulated.outside import (
    behave,
    crash,
    halt,
    list_domains,
    reboot_host,
    start_foreign,
)
from stratuslab.vm_controller.host_memory import HostMemory
from stratuslab.vm_controller.housekeeping import Housekeeping
from stratuslab.vm_controller.scheduler import Scheduler

QUICK = AgentOptions(
    heartbeat_seconds=0.1,
    heartbeat_ttl_seconds=2.0,
    sweep_seconds=0.2,
    inspection_seconds=0.2,
    shutdown_patience_seconds=0.3,
)
OWNER = Acl(owner="user/u")


class PlainParts:
    """Guest parts of a simulated host: nothing has to be made."""

    async def prepare(self, machine: Machine, mark: DomainMark) -> DomainSpec:
        return DomainSpec(
            id=machine.id,
            name=machine.name or "m",
            cpu=machine.spec.cpu,
            memory_kib=machine.spec.memory_kib,
            disks=(),
            interface=GuestInterface(mac="02:00:00:00:00:01"),
            console_log=Path("/nowhere"),
            mark=mark,
        )

    async def addresses(self, machine: Machine, hypervisor: Hypervisor) -> list[GuestAddress]:
        return [GuestAddress(mac="02:00:00:00:00:01", ip="10.0.0.1")]

    async def release(self, machine: Machine) -> None:
        return None


class Cloud:
    """A store, a bus, schedulers and agents in this loop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = MemoryStore()
        self.bus = MemoryBus()
        self._vmid = 0

    @asynccontextmanager
    async def running(
        self, *, hosts: Sequence[str] = ("h1",), schedulers: int = 1, memory_kib: int = 2**24
    ) -> AsyncIterator[list[asyncio.Task[None]]]:
        """The controllers at work; the tasks are given for tests that kill them."""
        async with AsyncExitStack() as stack:
            tasks: list[asyncio.Task[None]] = []
            for name in hosts:
                hypervisor = await stack.enter_async_context(
                    SimulatedHypervisor(
                        self.folder / "hosts", name, cpu_count=8, memory_kib=memory_kib
                    )
                )
                agent = NodeAgent(
                    name,
                    self.store,
                    self.bus,
                    hypervisor,
                    PlainParts(),
                    HostMemory(self.folder / "hosts" / name),
                    QUICK,
                )
                tasks.append(asyncio.create_task(agent.run()))
            for number in range(schedulers):
                scheduler = Scheduler(self.store, self.bus, replica=f"s{number}", sweep_seconds=0.2)
                keeper = Housekeeping(self.store, self.bus, replica=f"s{number}", every_seconds=0.2)
                tasks.append(asyncio.create_task(scheduler.run()))
                tasks.append(asyncio.create_task(keeper.run()))
            try:
                yield tasks
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
                for result in ended:
                    if isinstance(result, Exception):
                        raise result

    async def create(
        self,
        power: Power = Power.STARTED,
        *,
        memory_kib: int = 1024,
        deadline_seconds: float = 60,
        tell: bool = True,
        policy: str = "on-host-reboot",
    ) -> Machine:
        """What the front does for a new machine."""
        self._vmid += 1
        id = str(uuid4())
        job = jobs.begin(
            "add",
            "machine",
            [f"machine/{id}"],
            generation=1,
            owner="u",
            acl=OWNER,
            deadline_seconds=deadline_seconds,
        )
        machine = Machine(
            id=id,
            owner="u",
            acl=OWNER,
            created=now(),
            spec=MachineSpec(
                cpu=1,
                memory_kib=memory_kib,
                image=ImageReference("i", "simulated:tiny"),
                power=power,
                job=job.id,
                restart_policy=policy,  # type: ignore[arg-type]
            ),
            assignment=MachineAssignment(vmid=self._vmid),
        )
        await self.store.atomic([Insert(job), Insert(machine)])
        if tell:
            self.bus.hint(MACHINE_UNSCHEDULED, id=id)
        return machine

    async def act(self, id: str, action: MachineAction, *, force: bool = False) -> Job:
        """What the front does for an action."""
        stored = await self.store.get(MACHINE, id)
        machine = stored.document
        machine.generation += 1
        machine.spec.power = WANTED_BY[action]
        machine.spec.force = force
        machine.spec.restarts += action is MachineAction.RESTART
        job = jobs.begin(
            action,
            f"machine/{id}",
            [f"machine/{id}"],
            generation=machine.generation,
            owner="u",
            acl=OWNER,
            deadline_seconds=60,
        )
        machine.spec.job = job.id
        await self.store.atomic([Insert(job), Replace(stored, machine)])
        if machine.assignment.host:
            self.bus.hint(MACHINE_CHANGED, host=machine.assignment.host, id=id)
        return job

    async def delete(self, id: str) -> None:
        """What the front does for a deletion."""

        def change(machine: Machine) -> Sequence[Event] | None:
            machine.deletion_requested = now()
            return None

        stored = await self.store.update(MACHINE, id, change)
        host = stored.document.assignment.host
        if host:
            self.bus.hint(MACHINE_CHANGED, host=host, id=id)

    async def state(self, id: str) -> str:
        """The state a user sees; GONE when there is no document."""
        stored = await self.store.find(MACHINE, id)
        return stored.document.shown_state.value if stored else "GONE"

    async def reaches(self, id: str, state: str, seconds: float = 5.0) -> Machine:
        """Waits for the state and that nothing is owed any more."""

        async def there() -> bool:
            stored = await self.store.find(MACHINE, id)
            return bool(
                stored and stored.document.settled and stored.document.shown_state == state
            ) or (stored is None and state == "GONE")

        await eventually(there, seconds=seconds, what=f"state {state}")
        stored = await self.store.find(MACHINE, id)
        return (
            stored.document
            if stored
            else Machine(
                id=id,
                spec=MachineSpec(cpu=1, memory_kib=1, image=ImageReference("", "")),
                assignment=MachineAssignment(vmid=0),
            )
        )

    def domains(self, host: str = "h1") -> dict[str, str]:
        """What really stands on the host."""
        found = list_domains(self.folder / "hosts", host)
        return {domain.id: domain.state.value for domain in found}


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    cloud = Cloud(tmp_path)
    async with cloud.store, cloud.bus:
        yield cloud
    assert check_journals(tmp_path / "hosts") == []


async def test_a_created_machine_runs_and_its_job_succeeds(cloud: Cloud) -> None:
    async with cloud.running():
        machine = await cloud.create()
        there = await cloud.reaches(machine.id, "STARTED")
        assert there.status.addresses[0].ip == "10.0.0.1"
        assert cloud.domains() == {machine.id: "running"}
        job = await cloud.store.get(JOB, machine.spec.job or "")
        assert job.document.state is JobState.SUCCESS
        assert job.document.progress == 100


async def test_a_machine_that_starts_stopped_has_a_host_and_no_domain(cloud: Cloud) -> None:
    async with cloud.running():
        machine = await cloud.create(Power.STOPPED)
        there = await cloud.reaches(machine.id, "STOPPED")
        assert there.assignment.host == "h1"
        assert there.status.stop_reason is None
        assert cloud.domains() == {}


async def test_every_action_leads_to_its_state(cloud: Cloud) -> None:
    async with cloud.running():
        machine = await cloud.create()
        await cloud.reaches(machine.id, "STARTED")
        for action, state, domain in [
            (MachineAction.PAUSE, "PAUSED", "paused"),
            (MachineAction.START, "STARTED", "running"),
            (MachineAction.SUSPEND, "SUSPENDED", "suspended"),
            (MachineAction.START, "STARTED", "running"),
            (MachineAction.STOP, "STOPPED", "stopped"),
            (MachineAction.START, "STARTED", "running"),
            (MachineAction.PAUSE, "PAUSED", "paused"),
            (MachineAction.STOP, "STOPPED", "stopped"),
            (MachineAction.RESTART, "STARTED", "running"),
            (MachineAction.RESTART, "STARTED", "running"),
        ]:
            job = await cloud.act(machine.id, action)
            await cloud.reaches(machine.id, state)
            assert cloud.domains() == {machine.id: domain}, action
            assert (await cloud.store.get(JOB, job.id)).document.state is JobState.SUCCESS
        stopped = await cloud.act(machine.id, MachineAction.STOP, force=True)
        there = await cloud.reaches(machine.id, "STOPPED")
        assert there.status.stop_reason == "requested"
        assert stopped.id == there.spec.job


async def test_a_deleted_machine_leaves_a_tombstone_and_no_reservation(cloud: Cloud) -> None:
    async with cloud.running():
        machine = await cloud.create()
        await cloud.reaches(machine.id, "STARTED")
        await cloud.delete(machine.id)
        await cloud.reaches(machine.id, "GONE")
        assert cloud.domains() == {}
        tombstone = await cloud.store.get(MACHINE_TOMBSTONE, machine.id)
        assert tombstone.document.vmid == machine.assignment.vmid

        async def freed() -> bool:
            host = (await cloud.store.get(HOST, "h1")).document
            return host.assignment.machines == 0 and host.assignment.memory_kib == 0

        await eventually(freed, what="the reservation's return")


async def test_a_guest_that_ignores_the_power_button_keeps_running_and_the_job_fails(
    cloud: Cloud,
) -> None:
    async with cloud.running():
        machine = await cloud.create()
        await cloud.reaches(machine.id, "STARTED")
        behave(cloud.folder / "hosts", "h1", Behaviour(ignored_power_button_rate=1.0))
        await asyncio.sleep(0.15)
        job = await cloud.act(machine.id, MachineAction.STOP)
        there = await cloud.reaches(machine.id, "STARTED", seconds=15)
        assert there.status.conditions[0].reason == "ShutdownIgnored"
        ended = (await cloud.store.get(JOB, job.id)).document
        assert ended.state is JobState.FAILED
        assert "force" in ended.status_message
        await cloud.act(machine.id, MachineAction.STOP, force=True)
        await cloud.reaches(machine.id, "STOPPED")


@pytest.mark.parametrize(
    ("end", "reason"), [(halt, "guest"), (crash, "crash")], ids=["halt", "crash"]
)
async def test_the_end_of_a_guest_is_told_apart_and_left_alone_by_default(
    cloud: Cloud, end: Callable[[Path, str, str], None], reason: str
) -> None:
    async with cloud.running():
        machine = await cloud.create()
        await cloud.reaches(machine.id, "STARTED")
        end(cloud.folder / "hosts", "h1", machine.id)
        there = await cloud.reaches(machine.id, "STOPPED")
        assert there.status.stop_reason == reason
        await cloud.act(machine.id, MachineAction.START)
        await cloud.reaches(machine.id, "STARTED")


async def test_a_host_reboot_brings_back_what_ran(cloud: Cloud) -> None:
    async with cloud.running():
        running = await cloud.create()
        stopped = await cloud.create(Power.STOPPED)
        never = await cloud.create(policy="never")
        for machine in (running, never):
            await cloud.reaches(machine.id, "STARTED")
        await cloud.reaches(stopped.id, "STOPPED")
    reboot_host(cloud.folder / "hosts", "h1")
    async with cloud.running():
        await cloud.reaches(never.id, "STOPPED")

        async def back() -> bool:
            return cloud.domains().get(running.id) == "running"

        await eventually(back)
        assert (await cloud.reaches(never.id, "STOPPED")).status.stop_reason == "host-reboot"
        assert stopped.id not in cloud.domains()


async def test_machines_wait_for_room_and_get_it_when_another_leaves(cloud: Cloud) -> None:
    async with cloud.running(memory_kib=4096):
        first = await cloud.create(memory_kib=4096)
        await cloud.reaches(first.id, "STARTED")
        second = await cloud.create(memory_kib=4096)

        async def told() -> bool:
            conditions = (await cloud.store.get(MACHINE, second.id)).document.status.conditions
            return any(condition.reason == "NoRoom" for condition in conditions)

        await eventually(told)
        assert await cloud.state(second.id) == "CREATING"
        await cloud.delete(first.id)
        there = await cloud.reaches(second.id, "STARTED", seconds=10)
        assert there.status.conditions == []


async def test_a_machine_without_room_fails_at_its_deadline_and_can_be_deleted(
    cloud: Cloud,
) -> None:
    async with cloud.running(memory_kib=1024):
        machine = await cloud.create(memory_kib=4096, deadline_seconds=0.4)
        there = await cloud.reaches(machine.id, "ERROR")
        assert there.status.conditions[0].reason == "NoRoom"
        job = (await cloud.store.get(JOB, machine.spec.job or "")).document
        assert job.state is JobState.FAILED
        await cloud.delete(machine.id)
        await cloud.reaches(machine.id, "GONE")


async def test_without_any_hint_the_sweeps_do_the_work(cloud: Cloud) -> None:
    async with cloud.running(hosts=("h1", "h2")):
        machines = [await cloud.create(tell=False) for _ in range(40)]
        for machine in machines:
            await cloud.reaches(machine.id, "STARTED")


async def test_several_schedulers_never_overbook_a_host(cloud: Cloud) -> None:
    async with cloud.running(hosts=("h1", "h2", "h3"), schedulers=3, memory_kib=10 * 1024):
        machines = [await cloud.create() for _ in range(40)]

        async def placed() -> int:
            return await cloud.store.count(Query(MACHINE, {"state": "STARTED"}))

        await eventually(lambda: _is(placed, 30), what="30 placed machines")
        hosts = (await cloud.store.list(Query(HOST))).items
        assert sorted(each.document.assignment.machines for each in hosts) == [10, 10, 10]
        assert len(machines) == 40


async def _is(count: Callable[[], object], wanted: int) -> bool:
    return await count() == wanted  # type: ignore[misc]


async def test_an_agent_that_is_fenced_off_ends(cloud: Cloud) -> None:
    async with cloud.running() as tasks:
        machine = await cloud.create()
        await cloud.reaches(machine.id, "STARTED")
        HostMemory(cloud.folder / "hosts" / "h1").raise_fence(1000)
        agent = tasks[0]
        await asyncio.wait([agent], timeout=3)
        assert agent.done()
        with pytest.raises(BaseExceptionGroup) as error:
            agent.result()
        assert "newer agent" in str(error.value.exceptions)
        tasks.remove(agent)


async def test_an_empty_store_never_destroys_a_domain(cloud: Cloud) -> None:
    async with cloud.running():
        machine = await cloud.create()
        await cloud.reaches(machine.id, "STARTED")
    cloud.store = MemoryStore()
    async with cloud.store, cloud.running():
        host = await _host_with(cloud, lambda host: host.status.observing_only)
        assert host.status.conditions[0].reason == "StaleStore"
        await asyncio.sleep(0.6)
        assert cloud.domains() == {machine.id: "running"}


async def test_a_rolled_back_document_never_stops_a_newer_domain(cloud: Cloud) -> None:
    async with cloud.running():
        machine = await cloud.create(Power.STOPPED)
        old = await cloud.reaches(machine.id, "STOPPED")
        await cloud.act(machine.id, MachineAction.START)
        await cloud.reaches(machine.id, "STARTED")
    stored = await cloud.store.get(MACHINE, machine.id)
    old.deletion_requested = now()
    await cloud.store.replace(stored, old)
    async with cloud.running():

        async def refused() -> bool:
            conditions = (await cloud.store.get(MACHINE, machine.id)).document.status.conditions
            return any(condition.reason == "StaleDocument" for condition in conditions)

        await eventually(refused)
        assert cloud.domains() == {machine.id: "running"}


async def test_a_wiped_status_comes_back_from_the_host(cloud: Cloud) -> None:
    async with cloud.running():
        machines = [await cloud.create() for _ in range(3)]
        for machine in machines:
            await cloud.reaches(machine.id, "STARTED")
        halt(cloud.folder / "hosts", "h1", machines[0].id)
        await cloud.reaches(machines[0].id, "STOPPED")
        await cloud.act(machines[1].id, MachineAction.PAUSE)
        await cloud.reaches(machines[1].id, "PAUSED")
    for machine in machines:
        stored = await cloud.store.get(MACHINE, machine.id)
        stored.document.status = MachineStatus()
        await cloud.store.replace(stored, stored.document)
    async with cloud.running():
        assert (await cloud.reaches(machines[0].id, "STOPPED")).status.stop_reason == "guest"
        await cloud.reaches(machines[1].id, "PAUSED")
        await cloud.reaches(machines[2].id, "STARTED")
        assert cloud.domains()[machines[0].id] == "stopped"


async def test_a_domain_of_the_cloud_without_document_is_shown_and_kept(cloud: Cloud) -> None:
    async with cloud.running():
        machine = await cloud.create()
        await cloud.reaches(machine.id, "STARTED")
        start_foreign(cloud.folder / "hosts", "h1", "somebody's")
        await cloud.store.remove(await cloud.store.get(MACHINE, machine.id))
        host = await _host_with(cloud, lambda host: bool(host.status.quarantined))
        assert [each.id for each in host.status.quarantined] == [machine.id]
        assert cloud.domains()[machine.id] == "running"


async def _host_with(cloud: Cloud, condition: Callable[..., bool]):  # type: ignore[no-untyped-def]
    async def there() -> object:
        stored = await cloud.store.find(HOST, "h1")
        return stored.document if stored and condition(stored.document) else None

    return await eventually(there, what="the host's report")
