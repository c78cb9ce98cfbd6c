"""reconcile(machine) on one host: read, decide, act, write.

Owns what the agent does for one machine. It reads document and domain afresh each time, does
one idempotent step and writes the status by compare-and-swap, together with the job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from stratuslab.core import jobs
from stratuslab.core.contracts import JOB, MACHINE, SECRET
from stratuslab.core.contracts.job import Job, JobState
from stratuslab.core.contracts.machine import Machine
from stratuslab.core.contracts.machine_states import SettledState
from stratuslab.core.documents.frame import Condition, now
from stratuslab.core.errors import Conflict, NotFound, PermanentError
from stratuslab.core.store.base import Replace, Store, Stored, Write
from stratuslab.vm_controller.departure import departure, state_event
from stratuslab.vm_controller.drivers.base import Domain, DomainMark, Hypervisor
from stratuslab.vm_controller.guest import GuestParts
from stratuslab.vm_controller.lifecycle import (
    RECORDED,
    Act,
    Decision,
    Found,
    decide,
    found,
    recorded,
)

log = structlog.get_logger()

ADDRESS_POLL_SECONDS = 1.0
ADDRESS_PATIENCE_SECONDS = 120.0
RESTART_PAUSE_SECONDS = 10.0
"""Least time between two starts by policy: a crashing guest must not spin."""


@dataclass(frozen=True)
class HostIdentity:
    """Who acts: fixed for the life of the agent, but for the boot id."""

    cloud_id: str
    host: str
    boot_id: str


@dataclass
class MachineController:
    """Reconciles the machines of one host."""

    store: Store
    hypervisor: Hypervisor
    parts: GuestParts
    identity: HostIdentity
    may_act: Callable[[], bool]
    """False while the agent must only observe, or has lost its lease."""
    on_departed: Callable[[], None]
    """Called when a machine has left the host."""
    shutdown_patience_seconds: float
    button_every_seconds: float = 5.0
    _asked: dict[str, float] = field(default_factory=dict)
    """When a guest was first asked to shut down, on the monotonic clock."""

    async def reconcile(self, id: str) -> float | None:
        """One step for this machine; seconds until the next look, None when settled."""
        stored = await self.store.find(MACHINE, id)
        if stored is None or stored.document.assignment.host != self.identity.host:
            self._asked.pop(id, None)
            return None
        machine = stored.document
        domain = await self.hypervisor.find(id)
        decision = decide(
            machine, domain, cloud_id=self.identity.cloud_id, boot_id=self.identity.boot_id
        )
        if decision.act is Act.REFUSE:
            return await self._refuse(stored, decision)
        if not self.may_act():
            return 5.0 if decision.act is not Act.NOTHING else None
        if decision.act is Act.REMOVE:
            return await self._remove(stored)
        if decision.act is Act.SHUTDOWN:
            return await self._shutdown(stored)
        if self._starts_too_soon(machine, decision):
            return RESTART_PAUSE_SECONDS
        try:
            domain = await self._act(machine, domain, decision)
        except PermanentError as error:
            return await self._failed(stored, error)
        return await self._record(stored, domain, decision)

    async def _act(
        self, machine: Machine, domain: Domain | None, decision: Decision
    ) -> Domain | None:
        mark = self._mark(machine, domain, decision)
        match decision.act:
            case Act.START | Act.WAKE:
                spec = await self.parts.prepare(machine, mark)
                domain = await self.hypervisor.start(spec)
                log.info("machine.started", machine=machine.id, vmid=machine.assignment.vmid)
            case Act.PAUSE:
                domain = await self.hypervisor.pause(machine.id, mark)
            case Act.SUSPEND:
                domain = await self.hypervisor.suspend(machine.id, mark)
            case Act.CUT:
                domain = await self.hypervisor.stop(machine.id, mark)
            case Act.MARK:
                await self.hypervisor.mark(machine.id, mark)
            case _:
                pass
        return domain

    def _mark(self, machine: Machine, domain: Domain | None, decision: Decision) -> DomainMark:
        """What to write into the domain with this act."""
        before = domain.mark if domain is not None else None
        generation = machine.generation
        restarts = before.restarts if before is not None else machine.status.restarts
        if decision.restart or (decision.settles and decision.act is not Act.CUT):
            restarts = machine.spec.restarts
        if decision.act is Act.WAKE:
            generation = before.generation if before is not None else 0
        boot_id = self.identity.boot_id
        if decision.act not in {Act.START, Act.WAKE} and before is not None:
            boot_id = before.boot_id
        return DomainMark(
            cloud_id=self.identity.cloud_id,
            generation=generation,
            fence=machine.assignment.fence,
            restarts=restarts,
            boot_id=boot_id,
            stopping=decision.act in {Act.CUT, Act.SHUTDOWN, Act.SUSPEND},
        )

    async def _shutdown(self, stored: Stored[Machine]) -> float | None:
        """Presses the power button, again and again, until the guest obeys or patience ends."""
        machine = stored.document
        asked = self._asked.setdefault(machine.id, time.monotonic())
        if time.monotonic() - asked > self.shutdown_patience_seconds:
            self._asked.pop(machine.id, None)
            domain = await self.hypervisor.find(machine.id)
            return await self._record(
                stored,
                domain,
                Decision(
                    Act.GIVE_UP,
                    settles=True,
                    reason="ShutdownIgnored",
                    message="The guest did not react to the power button; stop it with force.",
                ),
            )
        domain = await self.hypervisor.find(machine.id)
        mark = self._mark(machine, domain, Decision(Act.SHUTDOWN))
        domain = await self.hypervisor.shutdown(machine.id, mark)
        return 0.0 if found(domain) is Found.STOPPED else self.button_every_seconds

    def _starts_too_soon(self, machine: Machine, decision: Decision) -> bool:
        by_policy = decision.act is Act.START and decision.reason not in {"", "host-reboot"}
        changed = machine.status.changed
        return (
            by_policy
            and changed is not None
            and (now() - changed).total_seconds() < RESTART_PAUSE_SECONDS
        )

    async def _record(
        self, stored: Stored[Machine], domain: Domain | None, decision: Decision
    ) -> float | None:
        """Writes what stands now; with the job when the last change is carried out."""
        if not decision.settles:
            return 0.0
        machine = stored.document
        status = machine.status
        before = _visible(machine)
        owed = status.observed_generation < machine.generation
        gave_up = decision.act is Act.GIVE_UP
        state = RECORDED[found(domain)] if owed else recorded(machine, domain)
        status.stop_reason = _stop_reason(machine, domain, decision, owed=owed)
        status.state = state
        status.observed_generation = machine.generation
        if not gave_up:
            status.restarts = machine.spec.restarts
        if domain is not None and domain.mark is not None and domain.mark.boot_id:
            status.boot_id = domain.mark.boot_id
        if gave_up:
            status.conditions = [_condition("Failed", decision.reason, decision.message)]
        else:
            status.conditions = [
                each for each in status.conditions if not owed and each.type != "Refused"
            ]
        if state is SettledState.STARTED:
            status.addresses = await self.parts.addresses(machine, self.hypervisor)
        return await self._write(
            stored,
            before,
            JobState.FAILED if gave_up else JobState.SUCCESS,
            decision.message or "done",
        )

    async def _write(
        self,
        stored: Stored[Machine],
        before: tuple[object, ...],
        ended: JobState,
        message: str,
    ) -> float | None:
        machine = stored.document
        changed = _visible(machine) != before
        if changed:
            machine.status.changed = now()
            self._asked.pop(machine.id, None)
        job = await self._job(machine)
        writes: list[Write] = []
        if changed:
            writes.append(Replace(stored, machine, events=[state_event(machine)]))
        if job is not None and machine.settled:
            events = jobs.end(job.document, ended, message)
            writes.append(
                Replace(
                    job, job.document, events=events, ttl_seconds=jobs.RETENTION.total_seconds()
                )
            )
        if writes:
            await self.store.atomic(writes)
        if not machine.settled:
            return 0.0
        return self._address_poll(machine)

    def _address_poll(self, machine: Machine) -> float | None:
        status = machine.status
        if status.state is not SettledState.STARTED or status.changed is None:
            return None
        known = any(address.ip for address in status.addresses)
        waiting = (now() - status.changed).total_seconds() < ADDRESS_PATIENCE_SECONDS
        return ADDRESS_POLL_SECONDS if not known and waiting else None

    async def _job(self, machine: Machine) -> Stored[Job] | None:
        if machine.spec.job is None:
            return None
        job = await self.store.find(JOB, machine.spec.job)
        return None if job is None or job.document.finished else job

    async def _failed(self, stored: Stored[Machine], error: PermanentError) -> float | None:
        """The hypervisor refused: the change is given up, the reason is kept."""
        machine = stored.document
        log.warning("machine.failed", machine=machine.id, code=error.code, error=str(error))
        before = _visible(machine)
        domain = await self.hypervisor.find(machine.id)
        state = recorded(machine, domain)
        status = machine.status
        status.state = SettledState.ERROR if state is SettledState.STOPPED else state
        status.observed_generation = machine.generation
        status.conditions = [_condition("Failed", error.code, str(error))]
        return await self._write(stored, before, JobState.FAILED, str(error))

    async def _refuse(self, stored: Stored[Machine], decision: Decision) -> float | None:
        """Touches nothing but the report."""
        machine = stored.document
        present = machine.status.conditions
        if not any(condition.reason == decision.reason for condition in present):
            log.error("machine.refused", machine=machine.id, reason=decision.reason)
            machine.status.conditions = [_condition("Refused", decision.reason, decision.message)]
            await self.store.atomic([Replace(stored, machine, events=[state_event(machine)])])
        return 30.0

    async def _remove(self, stored: Stored[Machine]) -> float | None:
        """The tombstone is there: domain, disks, seed and port go, then the document."""
        machine = stored.document
        await self.hypervisor.remove(machine.id)
        await self.parts.release(machine)
        job = await self._job(machine)
        secret = await self.store.find(SECRET, machine.id)
        try:
            await self.store.atomic(departure(stored, job, secret))
        except (Conflict, NotFound):
            return 0.0
        self._asked.pop(machine.id, None)
        self.on_departed()
        log.info("machine.deleted", machine=machine.id, vmid=machine.assignment.vmid)
        return None


def _condition(type: str, reason: str, message: str) -> Condition:
    return Condition(type=type, reason=reason, message=message, since=now())


def _visible(machine: Machine) -> tuple[object, ...]:
    """Everything of the status that is worth a write."""
    status = machine.status
    reasons: Sequence[str] = [condition.reason for condition in status.conditions]
    return (
        status.state,
        status.observed_generation,
        status.restarts,
        status.stop_reason,
        status.boot_id,
        tuple(status.addresses),
        tuple(reasons),
    )


def _stop_reason(
    machine: Machine, domain: Domain | None, decision: Decision, *, owed: bool
) -> str | None:
    """Why the machine is down, None while it is not or never was up."""
    if found(domain) not in {Found.ABSENT, Found.STOPPED}:
        return None
    if decision.act is Act.GIVE_UP:
        return domain.stop_reason if domain is not None else None
    if decision.reason or not owed:
        return decision.reason or None
    ran = domain is not None or machine.status.state is not SettledState.NEW
    return "requested" if ran else None
