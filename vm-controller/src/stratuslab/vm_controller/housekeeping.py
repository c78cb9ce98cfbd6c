"""Periodic duties of the schedulers: what is reserved, overdue jobs, void claims, lost hosts.

Each duty is done by one replica at a time, under a lease. All of them only correct documents;
none touches a host.
"""

from __future__ import annotations

import asyncio
import random

import structlog

from stratuslab.core import claims, jobs
from stratuslab.core.bus.base import Bus
from stratuslab.core.contracts import HEARTBEAT, HOST, JOB, MACHINE, Host, Job, Machine
from stratuslab.core.contracts.host import HostAssignment
from stratuslab.core.contracts.job import JobState
from stratuslab.core.contracts.machine_states import SettledState
from stratuslab.core.contracts.messages import HOST_FREED, HOST_STATE, HostStateChanged, event
from stratuslab.core.documents.frame import Condition, now
from stratuslab.core.errors import Conflict, NotFound, StratusLabError
from stratuslab.core.reconcile import Reconciler
from stratuslab.core.reconcile.sweep import duty
from stratuslab.core.store.base import MAX_PAGE, Query, Replace, Store, Stored, Write
from stratuslab.vm_controller.departure import state_event
from stratuslab.vm_controller.metrics import HOSTS_LOST, JOBS_OVERDUE
from stratuslab.vm_controller.placement import memory_cost_kib

log = structlog.get_logger()


class Housekeeping:
    """The duties. `await run()` inside the service's TaskGroup."""

    def __init__(
        self, store: Store, bus: Bus, *, replica: str, every_seconds: float = 10.0
    ) -> None:
        self._store = store
        self._bus = bus
        self._replica = replica
        self._every_seconds = every_seconds
        self._recounts = Reconciler("recount", workers=1, timeout_seconds=30.0)

    async def run(self) -> None:
        """Works until cancelled."""
        async with (
            self._bus.hints(HOST_FREED, shared=True) as freed,
            asyncio.TaskGroup() as group,
        ):

            async def listen() -> None:
                async for hint in freed:
                    self._recounts.wake(hint.tokens[-1])

            group.create_task(listen(), name="housekeeping-hints")
            group.create_task(self._recounts.run(self.recount), name="housekeeping-recount")
            group.create_task(self._turns(), name="housekeeping-turns")

    async def _turns(self) -> None:
        while True:
            await asyncio.sleep(self._every_seconds * random.uniform(0.5, 1.0))  # noqa: S311
            try:
                async with duty(
                    self._store,
                    "housekeeping",
                    self._replica,
                    every_seconds=self._every_seconds * 0.8,
                ) as mine:
                    if mine:
                        await self.once()
            except StratusLabError as error:
                log.warning("housekeeping.failed", error=str(error))

    async def once(self) -> None:
        """All duties, once."""
        await self.watch_hosts()
        await self.end_overdue_jobs()
        await claims.release_void(self._store)

    async def recount(self, host_id: str) -> None:
        """Sets a host's reservation to the sum over its machines.

        Exact although schedulers go on: the host is written only if no assignment came between.
        """
        stored = await self._store.find(HOST, host_id)
        if stored is None:
            return
        counted = HostAssignment()
        after: str | None = None
        while True:
            query = Query(MACHINE, {"host": host_id}, after=after, limit=MAX_PAGE)
            page = await self._store.list(query)
            for each in page.items:
                spec = each.document.spec
                counted.cpu += spec.cpu
                counted.machines += 1
                counted.memory_kib += memory_cost_kib(
                    spec.memory_kib, stored.document.status.domain_type
                )
            after = page.next
            if after is None:
                break
        host = stored.document
        counted.lost = host.assignment.lost
        if host.assignment != counted:
            host.assignment = counted
            await self._store.replace(stored, host)

    async def watch_hosts(self) -> None:
        """Recounts every host and notes which ones stopped or resumed their heartbeat."""
        page = await self._store.list(Query(HOST, limit=MAX_PAGE))
        alive = await self._store.get_many(HEARTBEAT, [each.document.id for each in page.items])
        for stored in page.items:
            lost = stored.document.id not in alive
            if lost != stored.document.assignment.lost:
                await self._note_host(stored, lost=lost)
            self._recounts.wake(stored.document.id)
        HOSTS_LOST.set(len(page.items) - len(alive))

    async def _note_host(self, stored: Stored[Host], *, lost: bool) -> None:
        host = stored.document
        host.assignment.lost = lost
        state = "LOST" if lost else "UP"
        log.warning("host.lost" if lost else "host.up", host=host.id)
        happened = event(HOST_STATE, f"host/{host.id}", HostStateChanged(id=host.id, state=state))
        try:
            await self._store.replace(stored, host, events=[happened])
        except (Conflict, NotFound):
            return

    async def end_overdue_jobs(self) -> None:
        """Ends jobs whose deadline has passed, according to what became of their target."""
        at = now()
        query = Query(JOB, {"unfinished": 1}, order_by="deadline", limit=MAX_PAGE)
        for stored in (await self._store.list(query)).items:
            deadline = stored.document.deadline
            if deadline is None or deadline > at:
                break
            try:
                await self._end_overdue(stored)
            except (Conflict, NotFound):
                continue

    async def _end_overdue(self, stored: Stored[Job]) -> None:
        job = stored.document
        kind, _, id = (job.affected[0] if job.affected else job.target).partition("/")
        target = await self._store.find(MACHINE, id) if kind == MACHINE.name else None
        writes: list[Write] = []
        if target is None:
            done = job.action == "delete"
            state = JobState.SUCCESS if done else JobState.FAILED
            events = jobs.end(job, state, "done" if done else "What it was for is gone.")
        elif target.document.status.observed_generation >= job.target_generation:
            events = jobs.end(job, JobState.SUCCESS, "done")
        else:
            JOBS_OVERDUE.inc()
            message = _why(target.document)
            log.warning("job.overdue", job=job.id, machine=id, reason=message)
            events = jobs.end(job, JobState.FAILED, message)
            if target.document.assignment.host is None and job.action != "delete":
                writes.append(_give_up(target, message))
        writes.append(
            Replace(stored, job, events=events, ttl_seconds=jobs.RETENTION.total_seconds())
        )
        await self._store.atomic(writes)


def _why(machine: Machine) -> str:
    """Why a machine's change took too long, as far as is known."""
    reasons = [each.message for each in machine.status.conditions if each.message]
    host = machine.assignment.host
    known = " ".join(reasons) or (f"Its host {host} did not answer." if host else "")
    return f"It was not done in time. {known}".strip()


def _give_up(stored: Stored[Machine], message: str) -> Write:
    """A machine that found no host in time is in ERROR; it can be started again or deleted."""
    machine = stored.document
    machine.status.state = SettledState.ERROR
    machine.status.observed_generation = machine.generation
    machine.status.changed = now()
    machine.status.conditions = [
        Condition(type="Failed", reason="NoRoom", message=message, since=now())
    ]
    return Replace(stored, machine, events=[state_event(machine)])
