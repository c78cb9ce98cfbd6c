"""The scheduler: gives every machine a host. Any number of replicas may run.

Owns `assignment` of machines and of hosts. Machines are placed in batches; each group for one
host is one atomic write of the host's reservation and of the machines, so that what is reserved
is always the sum of what is assigned. It never talks to a hypervisor.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

import structlog

from stratuslab.core.bus.base import Bus
from stratuslab.core.contracts import HEARTBEAT, HOST, JOB, MACHINE, SECRET, Host, Machine
from stratuslab.core.contracts.messages import HOST_FREED, MACHINE_CHANGED, MACHINE_UNSCHEDULED
from stratuslab.core.documents.frame import Condition, now
from stratuslab.core.errors import AlreadyExists, Conflict, NotFound
from stratuslab.core.reconcile import Reconciler, Sweep
from stratuslab.core.store.base import MAX_ATOMIC_WRITES, MAX_PAGE, Query, Replace, Store, Stored
from stratuslab.vm_controller.departure import departure, state_event
from stratuslab.vm_controller.metrics import MACHINES_PLACED, MACHINES_WITHOUT_ROOM
from stratuslab.vm_controller.placement import Room, choose, memory_cost_kib, rooms

log = structlog.get_logger()

NO_ROOM_RETRY_SECONDS = 2.0
HEARTBEAT_CACHE_SECONDS = 1.0


class Scheduler:
    """Places machines. `await run()` inside the service's TaskGroup."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        *,
        replica: str,
        sweep_seconds: float = 10.0,
        shards: int = 4,
    ) -> None:
        self._store = store
        self._bus = bus
        self._machines = Reconciler("placement", timeout_seconds=30.0)
        self._without_room: set[str] = set()
        self._alive: set[str] = set()
        self._alive_until = 0.0
        self._sweep = Sweep(
            "placement",
            store,
            Query(MACHINE, {"unscheduled": 1}),
            self._machines.wake,
            every_seconds=sweep_seconds,
            shards=shards,
            holder=replica,
        )

    async def run(self) -> None:
        """Works until cancelled."""
        async with (
            self._bus.hints(MACHINE_UNSCHEDULED, shared=True) as unscheduled,
            self._bus.hints(HOST_FREED) as freed,
            asyncio.TaskGroup() as group,
        ):

            async def listen() -> None:
                async for hint in unscheduled:
                    self._machines.wake(hint.tokens[-1])

            async def listen_freed() -> None:
                async for _hint in freed:
                    for id in list(self._without_room):
                        self._machines.wake(id)

            group.create_task(listen(), name="scheduler-hints")
            group.create_task(listen_freed(), name="scheduler-freed")
            group.create_task(self._sweep.run(), name="scheduler-sweep")
            group.create_task(self._machines.run_batches(self.place), name="scheduler-placement")
            log.info("scheduler.ready")

    async def place(self, ids: Sequence[str]) -> dict[str, float | None]:
        """Gives these machines hosts; the answer says which to try again, and when."""
        documents = await self._store.get_many(MACHINE, ids)
        again: dict[str, float | None] = {}
        waiting: list[Stored[Machine]] = []
        for id in ids:
            stored = documents.get(id)
            if stored is None or stored.document.assignment.host is not None:
                self._without_room.discard(id)
                continue
            if stored.document.deletion_requested is not None:
                await self._remove(stored)
            elif not stored.document.settled:
                waiting.append(stored)
        if not waiting:
            return again
        hosts, groups, homeless = await self._match(waiting)
        for host_id, machines in groups.items():
            await self._assign(hosts[host_id], machines, again)
        for stored in homeless:
            again[stored.document.id] = NO_ROOM_RETRY_SECONDS
            await self._note_no_room(stored)
        return again

    async def _match(
        self, waiting: list[Stored[Machine]]
    ) -> tuple[dict[str, Stored[Host]], dict[str, list[Stored[Machine]]], list[Stored[Machine]]]:
        page = await self._store.list(Query(HOST, limit=MAX_PAGE))
        hosts = {stored.document.id: stored for stored in page.items}
        alive = await self._hosts_alive(list(hosts))
        free: list[Room] = rooms((each.document for each in hosts.values()), alive.__contains__)
        groups: dict[str, list[Stored[Machine]]] = {}
        homeless: list[Stored[Machine]] = []
        for stored in waiting:
            room = choose(free, stored.document.spec, random.random)
            if room is None:
                homeless.append(stored)
            else:
                groups.setdefault(room.host.id, []).append(stored)
        return hosts, groups, homeless

    async def _hosts_alive(self, ids: list[str]) -> set[str]:
        if time.monotonic() > self._alive_until or not self._alive.issuperset(ids):
            self._alive = set(await self._store.get_many(HEARTBEAT, ids))
            self._alive_until = time.monotonic() + HEARTBEAT_CACHE_SECONDS
        return self._alive

    async def _assign(
        self,
        host: Stored[Host],
        machines: list[Stored[Machine]],
        again: dict[str, float | None],
    ) -> None:
        """Writes reservation and assignments in atomic groups; conflicts are tried again."""
        for start in range(0, len(machines), MAX_ATOMIC_WRITES - 1):
            group = machines[start : start + MAX_ATOMIC_WRITES - 1]
            taken = host.document.assignment
            for stored in group:
                assigned = stored.document
                assigned.assignment.host = host.document.id
                assigned.assignment.fence += 1
                taken.cpu += assigned.spec.cpu
                taken.memory_kib += memory_cost_kib(
                    assigned.spec.memory_kib, host.document.status.domain_type
                )
                taken.machines += 1
            writes = [
                Replace(host, host.document),
                *(Replace(stored, stored.document) for stored in group),
            ]
            try:
                revisions = await self._store.atomic(writes)
            except (Conflict, NotFound):
                for stored in machines[start:]:
                    again[stored.document.id] = random.uniform(0.0, 0.02)  # noqa: S311
                return
            host = Stored(host.document, revisions[0], host.body)
            for stored in group:
                id = stored.document.id
                self._without_room.discard(id)
                self._bus.hint(MACHINE_CHANGED, host=host.document.id, id=id)
            MACHINES_PLACED.inc(len(group))

    async def _note_no_room(self, stored: Stored[Machine]) -> None:
        """Says once on the machine that it waits for room."""
        machine = stored.document
        self._without_room.add(machine.id)
        if any(condition.reason == "NoRoom" for condition in machine.status.conditions):
            return
        MACHINES_WITHOUT_ROOM.inc()
        log.warning("machine.no-room", machine=machine.id, cpu=machine.spec.cpu)
        machine.status.conditions = [
            Condition(
                type="Waiting",
                reason="NoRoom",
                message="No host has room for this machine at present.",
                since=now(),
            )
        ]
        try:
            await self._store.atomic([Replace(stored, machine, events=[state_event(machine)])])
        except (Conflict, NotFound):
            return

    async def _remove(self, stored: Stored[Machine]) -> None:
        """A machine that never got a host is removed here: nothing of it is anywhere."""
        machine = stored.document
        job = await self._store.find(JOB, machine.spec.job) if machine.spec.job else None
        secret = await self._store.find(SECRET, machine.id)
        try:
            await self._store.atomic(departure(stored, job, secret))
        except (Conflict, NotFound, AlreadyExists):
            return
        self._without_room.discard(machine.id)
