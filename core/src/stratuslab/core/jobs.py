"""Jobs: how they begin and how they end.

Pure functions on Job documents; whoever changes the target writes the job in the same `atomic`
group. A sweep (`stratuslab.vm_controller.housekeeping`) ends jobs whose target was done or
whose deadline has passed, so that none is ever stuck.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

from stratuslab.core.contracts.job import UNFINISHED, Job, JobState
from stratuslab.core.contracts.messages import JOB_FINISHED, Event, JobFinished, event
from stratuslab.core.documents.frame import Acl, now

RETENTION = timedelta(days=7)
"""How long a finished job can be looked at."""


def begin(
    action: str,
    target: str,
    affected: list[str],
    *,
    generation: int,
    owner: str,
    acl: Acl,
    deadline_seconds: float,
    at: datetime | None = None,
    id: str | None = None,
) -> Job:
    """A running job for a change that brought the affected document to `generation`.

    `target` is the key of the document asked to change, or the kind's name for a creation;
    the first of `affected` is the document whose observed generation ends the job.
    """
    at = at or now()
    return Job(
        id=id or str(uuid4()),
        owner=owner,
        acl=acl,
        created=at,
        updated=at,
        action=action,
        target=target,
        affected=affected,
        target_generation=generation,
        status_message="in progress",
        time_of_status_change=at,
        deadline=at + timedelta(seconds=deadline_seconds),
    )


def finished(
    action: str, target: str, affected: list[str], *, owner: str, acl: Acl, message: str = "done"
) -> Job:
    """The job of a request that was carried out at once."""
    job = begin(action, target, affected, generation=0, owner=owner, acl=acl, deadline_seconds=0)
    end(job, JobState.SUCCESS, message)
    return job


def end(job: Job, state: JobState, message: str, *, return_code: int = 0) -> list[Event]:
    """Mutates an unfinished job into its end; returns the event to publish with the write.

    A job that has ended keeps its end: nothing happens and no event is returned.
    """
    assert state not in UNFINISHED
    if job.finished:
        return []
    at = now()
    job.state = state
    job.progress = 100
    job.return_code = return_code
    job.status_message = message
    job.time_of_status_change = at
    job.deadline = None
    job.expires = at + RETENTION
    payload = JobFinished(id=job.id, state=state.value, target=job.target, message=message)
    return [event(JOB_FINISHED, f"job/{job.id}", payload)]
