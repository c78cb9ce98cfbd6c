"""Job: what became of a request."""

from __future__ import annotations

from datetime import datetime

from stratuslab.cimi_api.model.common import ACTION, NAMESPACE, Reference, Representation, View
from stratuslab.core.contracts import Job
from stratuslab.core.contracts.machine_states import MachineAction

_PLAIN_ACTIONS = frozenset({"add", "edit", "delete"})


class JobRepresentation(Representation, kw_only=True, tag=f"{NAMESPACE}/Job"):
    """DSP0263 Job."""

    state: str
    target_resource: Reference
    affected_resources: list[Reference] = []
    action: str
    return_code: int
    progress: int
    status_message: str
    time_of_status_change: datetime | None = None
    parent_job: Reference | None = None
    nested_jobs: list[Reference] = []


def represent(document: Job, view: View) -> JobRepresentation:
    """The document as CIMI shows it."""
    target = view.reference(document.target)
    affected = [view.reference(key) for key in document.affected]
    return JobRepresentation(
        state=document.state.value,
        target_resource=target,
        affected_resources=affected if target in affected else [target, *affected],
        action=action_uri(document.action),
        return_code=document.return_code,
        progress=document.progress,
        status_message=document.status_message,
        time_of_status_change=document.time_of_status_change,
        parent_job=Reference(view.resource("job", document.parent)) if document.parent else None,
    )


def offered(document: Job) -> frozenset[str]:
    """The operations this job has now."""
    return frozenset({"delete"}) if document.finished else frozenset({"stop"})


def action_uri(action: str) -> str:
    """The URI of a CIMI action; `add`, `edit` and `delete` have none and stay as they are."""
    if action in _PLAIN_ACTIONS or ":" in action:
        return action
    return f"{ACTION}/{action}"


def cancellable(document: Job) -> bool:
    """Whether work of this kind can be taken back before it is done."""
    return not document.finished and document.action.rpartition("/")[2] in {
        "add",
        *(action.value for action in MachineAction),
    }
