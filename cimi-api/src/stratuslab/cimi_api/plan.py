"""What a request wants written, and the one place where it is written.

Services of a resource (`machines`, `accounts`, …) only plan: they read, check and return a
`Plan`. `commit` writes it as one atomic group, together with the claim of an idempotency key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stratuslab.cimi_api.numbers import Numbers
from stratuslab.cimi_api.ports import Passwords, Vault
from stratuslab.cimi_api.settings import CimiSettings
from stratuslab.core import jobs
from stratuslab.core.bus import Bus
from stratuslab.core.contracts import JOB, Claim, Job
from stratuslab.core.documents import Acl, Document, Rule
from stratuslab.core.documents.frame import ADMINISTRATOR
from stratuslab.core.errors import Ambiguous
from stratuslab.core.store import Insert, Store, Write

_REREAD_AFTER_SECONDS = (0.05, 0.2, 1.0)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    user_id: str
    name: str
    principals: frozenset[str]

    @property
    def administrator(self) -> bool:
        """Whether every right is given."""
        return ADMINISTRATOR in self.principals

    @property
    def principal(self) -> str:
        """The user as an ACL names it."""
        return f"user/{self.user_id}"


@dataclass(frozen=True)
class Cloud:
    """What the services of all resources work with."""

    store: Store
    bus: Bus
    settings: CimiSettings
    vault: Vault
    passwords: Passwords
    vmids: Numbers

    @property
    def image_folders(self) -> Sequence[Path]:
        """Where images may lie on the hosts."""
        return [Path(folder) for folder in self.settings.image_folders]


def nothing(_bus: Bus) -> None:
    """Announces nothing."""


@dataclass(frozen=True)
class Plan:
    """One group of writes and what is answered once they are done."""

    document: Document
    """What the answer shows: the created or changed document, or the removed one as it was."""
    job: Job
    writes: Sequence[Write]
    """Everything but the new job and the claim, in order."""
    job_is_new: bool = True
    deferred: bool = False
    """The work goes on after the answer (202)."""
    announce: Callable[[Bus], None] = field(default=nothing)
    """Hints to send after the commit."""


def finished_job(action: str, document: Document, caller: Caller, *, created: bool = False) -> Job:
    """The job of a request that its answer completes; for the caller and the owner to see."""
    kind = str(document.__struct_config__.tag)
    key = f"{kind}/{document.id}"
    acl = Acl(document.acl.owner)
    if caller.principal != acl.owner:
        acl.rules.append(Rule(caller.principal, "MODIFY"))
    return jobs.finished(action, kind if created else key, [key], owner=document.owner, acl=acl)


async def commit(cloud: Cloud, plan: Plan, claim: Claim | None = None) -> None:
    """Writes everything or nothing, then sends the hints.

    Raises AlreadyExists, Conflict, TooLarge, Unavailable. A write whose fate is unknown is read
    back: the job's existence tells. Only when even that cannot be told, Ambiguous is raised.
    """
    if not plan.writes and not plan.job_is_new:
        return
    claims: list[Write] = [Insert(claim)] if claim is not None else []
    begun: list[Write] = (
        [Insert(plan.job, ttl_seconds=_kept_seconds(plan.job))] if plan.job_is_new else []
    )
    try:
        await cloud.store.atomic([*claims, *begun, *plan.writes])
    except Ambiguous:
        if not plan.job_is_new or not await _was_written(cloud.store, plan.job):
            raise
    plan.announce(cloud.bus)


def _kept_seconds(job: Job) -> float | None:
    return jobs.RETENTION.total_seconds() if job.finished else None


async def _was_written(store: Store, job: Job) -> bool:
    for seconds in _REREAD_AFTER_SECONDS:
        await asyncio.sleep(seconds)
        try:
            if await store.revision(JOB, job.id) is not None:
                return True
        except Ambiguous:
            continue
    return False
