"""The Job document: what became of one request that takes time."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from stratuslab.core.documents.frame import Document
from stratuslab.core.documents.kinds import Field, Kind


class JobState(StrEnum):
    """CIMI Job states; RUNNING, because some clients cannot read QUEUED."""

    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"


UNFINISHED = frozenset({JobState.RUNNING, JobState.STOPPING})


class Job(Document, tag="job"):
    """One request in progress or done."""

    action: str
    """`add`, `edit`, `delete` or the URI of a CIMI action."""
    target: str
    """Key (`kind/id`) of the document the request was for; for creations the kind's name."""
    affected: list[str] = []
    """Keys of the documents that the request touches or made."""
    target_generation: int = 0
    """The job is done once the target has observed this generation."""
    state: JobState = JobState.RUNNING
    progress: int = 0
    return_code: int = 0
    status_message: str = ""
    time_of_status_change: datetime | None = None
    deadline: datetime | None = None
    """After it the job fails, unless its target turns out to be done."""
    parent: str | None = None
    expires: datetime | None = None

    @property
    def finished(self) -> bool:
        """Nothing will change any more."""
        return self.state not in UNFINISHED


JOB = Kind(
    "job",
    Job,
    (
        Field("created", lambda j: j.created.isoformat() if j.created else None),
        Field("name", lambda j: j.name),
        Field("state", lambda j: j.state.value),
        Field("target", lambda j: j.affected[0] if j.affected else j.target),
        Field("unfinished", lambda j: None if j.finished else 1),
        Field("deadline", lambda j: j.deadline.isoformat() if j.deadline else None),
    ),
)
