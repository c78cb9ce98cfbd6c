"""Stopping a job: what it does to the job and to what the job works on."""

from __future__ import annotations

from copy import deepcopy

from stratuslab.cimi_api import machines
from stratuslab.cimi_api.model.attributes import ActionBody
from stratuslab.cimi_api.model.job import cancellable
from stratuslab.cimi_api.plan import Cloud, Plan
from stratuslab.core import jobs
from stratuslab.core.contracts import MACHINE, Job
from stratuslab.core.contracts.job import JobState
from stratuslab.core.errors import WrongState
from stratuslab.core.store import Replace, Stored


async def stop(cloud: Cloud, _name: str, stored: Stored[Job], _body: ActionBody) -> Plan:
    """Takes the job's work back where that is possible. Raises WrongState."""
    job = deepcopy(stored.document)
    if job.finished:
        raise WrongState(
            f"Job {job.id} has ended as {job.state}; there is nothing to stop.",
            state=job.state.value,
        )
    kind, _, id = (job.affected[0] if job.affected else job.target).partition("/")
    machine = await cloud.store.find(MACHINE, id) if kind == MACHINE.name else None
    writes = machines.cancel(machine, stored) if machine is not None and cancellable(job) else None
    if machine is None or writes is None:
        raise WrongState(
            f"Job {job.id} ({job.action}) cannot be stopped any more.",
            hint="Wait for its end.",
            state=job.state.value,
        )
    events = jobs.end(job, JobState.STOPPED, "stopped on request")
    kept = jobs.RETENTION.total_seconds()
    return Plan(
        job,
        job,
        [*writes, Replace(stored, job, events=events, ttl_seconds=kept)],
        job_is_new=False,
        announce=machines.wake_up(machine.document),
    )
