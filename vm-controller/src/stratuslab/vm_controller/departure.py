"""The writes that make a machine disappear once nothing of it is left on any host.

Pure: builds one atomic group. Machine out, tombstone in, job ended, secret gone.
"""

from __future__ import annotations

from datetime import timedelta

from stratuslab.core import jobs
from stratuslab.core.contracts.job import Job, JobState
from stratuslab.core.contracts.machine import Machine, MachineTombstone
from stratuslab.core.contracts.messages import MACHINE_STATE, Event, MachineStateChanged, event
from stratuslab.core.contracts.secret import Secret
from stratuslab.core.documents.frame import now
from stratuslab.core.store.base import Insert, Remove, Replace, Stored, Write

TOMBSTONE_KEPT = timedelta(days=7)


def state_event(machine: Machine, state: str | None = None) -> Event:
    """The event that tells integrators of a machine's present state."""
    addresses = machine.status.addresses
    payload = MachineStateChanged(
        id=machine.id,
        name=machine.name,
        owner=machine.owner,
        state=state or machine.shown_state.value,
        vmid=machine.assignment.vmid,
        host=machine.assignment.host,
        stop_reason=machine.status.stop_reason,
        address=addresses[0].ip if addresses else None,
    )
    return event(MACHINE_STATE, f"machine/{machine.id}", payload)


def departure(
    machine: Stored[Machine], job: Stored[Job] | None, secret: Stored[Secret] | None
) -> list[Write]:
    """The atomic group that ends a machine."""
    gone = machine.document
    at = now()
    tombstone = MachineTombstone(
        id=gone.id,
        owner=gone.owner,
        acl=gone.acl,
        name=gone.name,
        created=gone.created,
        vmid=gone.assignment.vmid,
        host=gone.assignment.host,
        deleted=at,
    )
    writes: list[Write] = [
        Remove(machine, events=[state_event(gone, "DELETED")]),
        Insert(tombstone, ttl_seconds=TOMBSTONE_KEPT.total_seconds()),
    ]
    if job is not None and not job.document.finished:
        events = jobs.end(job.document, JobState.SUCCESS, "The machine was deleted.")
        writes.append(
            Replace(job, job.document, events=events, ttl_seconds=jobs.RETENTION.total_seconds())
        )
    if secret is not None:
        writes.append(Remove(secret))
    return writes
