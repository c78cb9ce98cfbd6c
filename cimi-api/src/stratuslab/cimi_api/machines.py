"""What can be asked of a machine: creation, change, actions, deletion. Plans, writes nothing.

Only `spec` and the frame are touched here: assignment belongs to the scheduler, status to the
node agent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from uuid import uuid4

from stratuslab.cimi_api.expansion import expand
from stratuslab.cimi_api.model import machine as model
from stratuslab.cimi_api.model.attributes import ActionBody, apply_common
from stratuslab.cimi_api.model.machine_template import MachineCreate
from stratuslab.cimi_api.ownership import frame, grant
from stratuslab.cimi_api.plan import Caller, Cloud, Plan, finished_job
from stratuslab.cimi_api.ports import sealed
from stratuslab.core import jobs
from stratuslab.core.bus import Bus
from stratuslab.core.contracts import JOB, Job, Machine
from stratuslab.core.contracts.job import JobState
from stratuslab.core.contracts.machine import MachineAssignment
from stratuslab.core.contracts.machine_states import (
    WANTED_BY,
    MachineAction,
    MachineState,
    Power,
    SettledState,
    offers,
)
from stratuslab.core.contracts.messages import (
    MACHINE_CHANGED,
    MACHINE_STATE,
    MACHINE_UNSCHEDULED,
    Event,
    MachineStateChanged,
    event,
)
from stratuslab.core.documents import now
from stratuslab.core.errors import WrongState
from stratuslab.core.store import Insert, Replace, Stored, Write


async def create(cloud: Cloud, caller: Caller, body: MachineCreate) -> Plan:
    """A machine in state CREATING, its secret and its job; a scheduler finds it a host."""
    expansion = await expand(cloud, caller, body.machine_template)
    vmid = await cloud.vmids.take()
    machine = Machine(id=str(uuid4()), spec=expansion.spec, assignment=MachineAssignment(vmid=vmid))
    frame(machine, caller, body, at=now())
    machine.name = machine.name or f"vm-{vmid}"
    job = _job(cloud, machine, "add", target="machine")
    writes: list[Write] = []
    if expansion.user_data is not None:
        secret = sealed(cloud.vault, machine.id, expansion.user_data, machine.created)
        writes.append(Insert(secret))
    writes.append(Insert(machine, events=[state_event(machine)]))
    return Plan(machine, job, writes, deferred=True, announce=wake_up(machine))


async def edit(
    _cloud: Cloud, caller: Caller, stored: Stored[Machine], body: model.MachineBody
) -> Plan:
    """A change of what is not the machine's power. A new policy is told to the host; the job of
    an action in flight goes on."""
    machine = deepcopy(stored.document)
    policy = machine.spec.restart_policy
    apply_common(machine, body, at=now())
    grant(machine, caller, body)
    model.apply(machine, body)
    job = finished_job("edit", machine, caller)
    if machine.spec.restart_policy == policy:
        return Plan(machine, job, [Replace(stored, machine)])
    machine.generation += 1
    return Plan(machine, job, [Replace(stored, machine)], announce=wake_up(machine))


async def act(cloud: Cloud, name: str, stored: Stored[Machine], body: ActionBody) -> Plan:
    """One of the actions of the state table. Raises WrongState."""
    action, force = MachineAction(name), body.force is True
    was = stored.document
    state = was.shown_state
    if not offers(state, action, force=force):
        only_by_force = not force and offers(state, action, force=True)
        raise WrongState(
            f"Machine {was.id} is {state} and cannot {name} now.",
            hint='Send "force": true to cut its power.'
            if only_by_force
            else "See its operations for what it can do.",
            state=state.value,
        )
    machine = deepcopy(was)
    machine.generation += 1
    machine.spec.power = WANTED_BY[action]
    machine.spec.force = force
    if action is MachineAction.RESTART and state is not MachineState.STOPPED:
        machine.spec.restarts += 1
    job = _job(cloud, machine, name)
    writes = await _replaced(cloud, stored, machine)
    return Plan(machine, job, writes, deferred=True, announce=wake_up(machine))


async def delete(cloud: Cloud, _caller: Caller, stored: Stored[Machine]) -> Plan:
    """The tombstone: whoever holds the machine destroys it, then the document goes.

    Asked again, it answers with the job that is at work.
    """
    machine = deepcopy(stored.document)
    if machine.deletion_requested is not None:
        present = await cloud.store.get(JOB, machine.spec.job or "")
        return Plan(machine, present.document, [], deferred=True, job_is_new=False)
    machine.deletion_requested = now()
    machine.generation += 1
    job = _job(cloud, machine, "delete")
    writes = await _replaced(cloud, stored, machine)
    return Plan(machine, job, writes, deferred=True, announce=wake_up(machine))


def cancel(stored: Stored[Machine], job: Stored[Job]) -> Sequence[Write] | None:
    """Writes that take back the machine's last change, or None when it cannot be taken back.

    A machine that never came to be is deleted; otherwise the wanted state becomes the one the
    machine is settled in.
    """
    was = stored.document
    if was.settled or was.deletion_requested is not None or was.spec.job != job.document.id:
        return None
    machine = deepcopy(was)
    machine.generation += 1
    machine.spec.job = None
    if was.status.state is SettledState.NEW:
        machine.deletion_requested = now()
    elif was.status.state is SettledState.ERROR:
        return None
    else:
        machine.spec.power = Power(was.status.state.value)
        machine.spec.restarts = was.status.restarts
        machine.spec.force = False
    return [Replace(stored, machine, events=_changes(was, machine))]


def state_event(machine: Machine) -> Event:
    """The integration event telling the machine's present state."""
    payload = MachineStateChanged(
        id=machine.id,
        name=machine.name,
        owner=machine.owner,
        state=machine.shown_state.value,
        vmid=machine.assignment.vmid,
        host=machine.assignment.host,
    )
    return event(MACHINE_STATE, f"machine/{machine.id}", payload)


def _job(cloud: Cloud, machine: Machine, action: str, *, target: str | None = None) -> Job:
    """The job of the change that brought the machine to its generation; the machine names it."""
    key = f"machine/{machine.id}"
    job = jobs.begin(
        action,
        target or key,
        [key],
        generation=machine.generation,
        owner=machine.owner,
        acl=machine.acl,
        deadline_seconds=cloud.settings.job_deadline_seconds,
    )
    machine.spec.job = job.id
    return job


async def _replaced(cloud: Cloud, stored: Stored[Machine], machine: Machine) -> list[Write]:
    """The new version of the machine; the unfinished job of the older change ends with it."""
    writes: list[Write] = []
    older = stored.document.spec.job
    found = await cloud.store.find(JOB, older) if older and older != machine.spec.job else None
    if found is not None and not found.document.finished:
        job = deepcopy(found.document)
        events = jobs.end(job, JobState.STOPPED, f"superseded by job {machine.spec.job}")
        kept = jobs.RETENTION.total_seconds()
        writes.append(Replace(found, job, events=events, ttl_seconds=kept))
    writes.append(Replace(stored, machine, events=_changes(stored.document, machine)))
    return writes


def _changes(was: Machine, machine: Machine) -> list[Event]:
    return [state_event(machine)] if machine.shown_state is not was.shown_state else []


def wake_up(machine: Machine) -> Callable[[Bus], None]:
    """Sends the hint that this machine's wanted state changed, to whom it concerns."""
    host = machine.assignment.host

    def send(bus: Bus) -> None:
        if host is None:
            bus.hint(MACHINE_UNSCHEDULED, id=machine.id)
        else:
            bus.hint(MACHINE_CHANGED, host=host, id=machine.id)

    return send
