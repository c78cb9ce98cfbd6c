"""The generic operations on any resource of the table: add, edit, delete, act.

Each checks rights, state and preconditions, asks for a plan and commits it. A concurrent change
by somebody else is met by reading again, so that a conflict never reaches a client who sent no
If-Match.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from copy import deepcopy
from typing import Any
from uuid import uuid4

from stratuslab.cimi_api.idempotency import Answer, Once
from stratuslab.cimi_api.model.attributes import apply_common
from stratuslab.cimi_api.ownership import frame, grant
from stratuslab.cimi_api.parsing import decode_action, decode_create, decode_edit
from stratuslab.cimi_api.plan import Caller, Cloud, Plan, commit, finished_job
from stratuslab.cimi_api.preconditions import check_if_match
from stratuslab.cimi_api.rendering import absent
from stratuslab.cimi_api.resources import Resource
from stratuslab.core.documents import Right, now
from stratuslab.core.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    WrongState,
)
from stratuslab.core.store import Insert, Remove, Replace, Stored, Write

_ATTEMPTS = 12


async def add(
    cloud: Cloud, resource: Resource[Any], caller: Caller, raw: bytes, once: Once | None
) -> Plan | Answer:
    """Creates a resource. Raises Forbidden, InvalidRequest, AlreadyExists and others."""
    if resource.add is None:
        raise MethodNotAllowed(
            f"A {resource.type_name} cannot be added; it comes from other requests.",
            allowed=["GET", "HEAD", "OPTIONS"],
        )
    if resource.add not in caller.principals:
        raise Forbidden(
            f"Only who has {resource.add} may add to {resource.collection}.",
            hint="Ask an administrator.",
        )
    if once is not None and (answer := await once.recall(cloud.store)):
        return answer
    body = decode_create(resource, raw)
    if resource.create is not None:
        plan = await resource.create(cloud, caller, body)
    else:
        plan = await _created(cloud, resource, caller, body)
    return await _commit(cloud, resource, plan, once) or plan


async def edit(
    cloud: Cloud,
    resource: Resource[Any],
    caller: Caller,
    id: str,
    raw: bytes,
    *,
    selected: frozenset[str] | None,
    if_match: str | None,
) -> Plan:
    """Changes a resource, wholly or only the attributes that are `selected`."""

    async def plan(stored: Stored[Any]) -> Plan:
        body = decode_edit(resource, raw, stored.document, selected)
        if resource.edit is not None:
            return await resource.edit(cloud, caller, stored, body)
        return await _edited(cloud, resource, caller, stored, body)

    done, _ = await _change(cloud, resource, caller, id, "edit", plan, if_match=if_match)
    return done


async def delete(
    cloud: Cloud, resource: Resource[Any], caller: Caller, id: str, *, if_match: str | None
) -> Plan:
    """Removes a resource, or begins to."""

    async def plan(stored: Stored[Any]) -> Plan:
        if resource.delete is not None:
            return await resource.delete(cloud, caller, stored)
        more: Sequence[Write] = ()
        if resource.before_delete is not None:
            more = await resource.before_delete(cloud, stored.document)
        return Plan(
            stored.document,
            finished_job("delete", stored.document, caller),
            [*more, Remove(stored)],
        )

    done, _ = await _change(cloud, resource, caller, id, "delete", plan, if_match=if_match)
    return done


async def act(
    cloud: Cloud,
    resource: Resource[Any],
    caller: Caller,
    id: str,
    name: str,
    raw: bytes,
    *,
    if_match: str | None,
    once: Once | None,
) -> Plan | Answer:
    """Carries out an action."""
    actor = resource.act
    assert actor is not None
    if once is not None:
        await readable(cloud, resource, caller, id)
        if answer := await once.recall(cloud.store):
            return answer

    async def plan(stored: Stored[Any]) -> Plan:
        return await actor(cloud, name, stored, decode_action(raw))

    try:
        done, answer = await _change(
            cloud, resource, caller, id, name, plan, if_match=if_match, once=once
        )
    except WrongState:  # perhaps only because a duplicate of the request was faster
        if once is not None and (answer := await once.recall(cloud.store)):
            return answer
        raise
    return answer or done


async def readable(cloud: Cloud, resource: Resource[Any], caller: Caller, id: str) -> Stored[Any]:
    """A document this caller may see. Raises NotFound."""
    stored = await cloud.store.find(resource.kind, id)
    if stored is None or stored.document.acl.right_of(caller.principals) < Right.VIEW:
        raise absent(resource, id)
    return stored


async def _created(cloud: Cloud, resource: Resource[Any], caller: Caller, body: Any) -> Plan:
    assert resource.new is not None
    assert resource.write is not None
    document = resource.new(str(uuid4()), body)
    frame(document, caller, body, at=now(), shared=resource.shared)
    more = await resource.write(cloud, caller, document, body, None)
    job = finished_job("add", document, caller, created=True)
    return Plan(document, job, [*more, Insert(document)])


async def _edited(
    cloud: Cloud, resource: Resource[Any], caller: Caller, stored: Stored[Any], body: Any
) -> Plan:
    assert resource.write is not None
    document = deepcopy(stored.document)
    document.generation += 1
    apply_common(document, body, at=now())
    grant(document, caller, body)
    more = await resource.write(cloud, caller, document, body, stored.document)
    return Plan(
        document, finished_job("edit", document, caller), [*more, Replace(stored, document)]
    )


async def _change(
    cloud: Cloud,
    resource: Resource[Any],
    caller: Caller,
    id: str,
    operation: str,
    plan_for: Callable[[Stored[Any]], Awaitable[Plan]],
    *,
    if_match: str | None,
    once: Once | None = None,
) -> tuple[Plan, Answer | None]:
    """Reads, checks, plans and commits; again when somebody else wrote in between."""
    for attempt in range(_ATTEMPTS):
        stored = await readable(cloud, resource, caller, id)
        _check(resource, caller, stored, operation, if_match)
        plan = await plan_for(stored)
        try:
            return plan, await _commit(cloud, resource, plan, once)
        except (Conflict, NotFound):
            if attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(random.uniform(0, 0.002 * 2**attempt))  # noqa: S311
    raise AssertionError


def _check(
    resource: Resource[Any],
    caller: Caller,
    stored: Stored[Any],
    operation: str,
    if_match: str | None,
) -> None:
    document = stored.document
    if document.acl.right_of(caller.principals) < resource.rights[operation]:
        raise Forbidden(
            f"You may see {resource.type_name} {document.id} but not {operation} it.",
            hint="Ask its owner or an administrator.",
        )
    check_if_match(if_match, document)
    plans_itself = operation == "delete" and resource.delete is not None
    offered = resource.offered(document) if resource.offered else resource.rights
    if operation in _PARTICIPLE and operation not in offered and not plans_itself:
        raise WrongState(
            f"{resource.type_name} {document.id} cannot be {_PARTICIPLE[operation]} in its"
            " present state.",
            hint="See its operations for what it can do.",
        )


_PARTICIPLE = {"edit": "edited", "delete": "deleted"}


async def _commit(
    cloud: Cloud, resource: Resource[Any], plan: Plan, once: Once | None
) -> Answer | None:
    """Commits the plan; when a duplicate of the request was faster, its answer instead."""
    try:
        await commit(cloud, plan, once.record(plan, resource.kind.name) if once else None)
    except AlreadyExists:
        if once is not None and (answer := await once.recall(cloud.store)):
            return answer
        raise
    return None
