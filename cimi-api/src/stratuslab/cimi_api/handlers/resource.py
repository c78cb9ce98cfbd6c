"""The handlers of one resource type: one instance per entry of the table, no copy per type."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from stratuslab.cimi_api import operations
from stratuslab.cimi_api.handlers.negotiation import read_body
from stratuslab.cimi_api.idempotency import Answer, once
from stratuslab.cimi_api.lists import Lists
from stratuslab.cimi_api.model.common import View
from stratuslab.cimi_api.model.machine_parts import Part
from stratuslab.cimi_api.plan import Caller, Cloud, Plan
from stratuslab.cimi_api.preconditions import matches
from stratuslab.cimi_api.queries import EVERYTHING, ListQuery, parse_list_query, parse_select
from stratuslab.cimi_api.rendering import (
    MEDIA_TYPE,
    RenderCache,
    encode,
    encode_collection,
    select,
)
from stratuslab.cimi_api.resources import TABLE, Resource
from stratuslab.core.contracts import JOB
from stratuslab.core.errors import NotFound, PreconditionFailed

CALLER = web.RequestKey("caller", Caller)
BASE = web.RequestKey("base", str)

_MAX_QUERIES = 64
_JOBS = next(each for each in TABLE if each.kind is JOB)


@dataclass(frozen=True)
class Front:
    """What all handlers share."""

    cloud: Cloud
    cache: RenderCache
    lists: Lists


class ResourceHandlers:
    """Translates HTTP to the generic operations on one resource type and back."""

    def __init__(self, front: Front, resource: Resource[Any]) -> None:
        self._front = front
        self._cloud = front.cloud
        self._resource = resource
        self._queries: dict[str, ListQuery] = {}

    async def list(self, request: web.Request) -> web.Response:
        """GET of the collection."""
        resource, caller, base = self._resource, request[CALLER], request[BASE]
        query = self._query(request)
        body = await self._front.lists.render(resource, caller, base, query)
        return web.Response(body=body, headers={"Content-Type": MEDIA_TYPE})

    def _query(self, request: web.Request) -> ListQuery:
        """The query of a list; the texts of the last ones need no parsing again."""
        text = request.rel_url.raw_query_string
        if not text:
            return EVERYTHING
        query = self._queries.get(text)
        if query is None:
            query = parse_list_query(self._resource, request.query)
            if len(self._queries) >= _MAX_QUERIES:
                self._queries.clear()
            self._queries[text] = query
        return query

    async def read(self, request: web.Request) -> web.Response:
        """GET of one resource."""
        resource = self._resource
        body, tag = await self._front.cache.one(
            resource, request.match_info["id"], request[CALLER], request[BASE]
        )
        if_none_match = request.headers.get("If-None-Match")
        headers = {"Content-Type": MEDIA_TYPE, "ETag": tag}
        known = if_none_match is not None and matches(if_none_match, tag, weak=True)
        if known and not resource.volatile:
            return web.Response(status=304, headers={"ETag": tag})
        if request.rel_url.raw_query_string:
            names = parse_select(request.query)
            if names is not None:
                body = select(body, names)
        return web.Response(body=body, headers=headers)

    async def add(self, request: web.Request) -> web.Response:
        """POST to the collection."""
        raw = await read_body(request)
        caller = request[CALLER]
        done = await operations.add(
            self._cloud, self._resource, caller, raw, self._once(request, raw)
        )
        id, job_id = _made(done)
        headers = self._headers(request, job_id, replayed=isinstance(done, Answer))
        body, tag = await self._show(self._resource, id, request)
        headers["ETag"] = tag
        headers["Location"] = f"{request[BASE]}{self._resource.collection}/{id}"
        return web.Response(body=body, status=201, headers=headers)

    async def edit(self, request: web.Request) -> web.Response:
        """PUT of one resource, whole or only what `$select` names."""
        raw = await read_body(request)
        plan = await operations.edit(
            self._cloud,
            self._resource,
            request[CALLER],
            request.match_info["id"],
            raw,
            selected=parse_select(request.query),
            if_match=self._if_match(request),
        )
        headers = self._headers(request, plan.job.id)
        body, headers["ETag"] = await self._show(self._resource, plan.document.id, request)
        return web.Response(body=body, headers=headers)

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE of one resource."""
        plan = await operations.delete(
            self._cloud,
            self._resource,
            request[CALLER],
            request.match_info["id"],
            if_match=self._if_match(request),
        )
        return await self._job_response(request, plan.job.id, 202 if plan.deferred else 200)

    def action(self, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        """The handler of one action; which one is decided by the URI alone."""

        async def act(request: web.Request) -> web.Response:
            return await self._act(request, name)

        return act

    async def _act(self, request: web.Request, name: str) -> web.Response:
        raw = await read_body(request)
        done = await operations.act(
            self._cloud,
            self._resource,
            request[CALLER],
            request.match_info["id"],
            name,
            raw,
            if_match=self._if_match(request),
            once=self._once(request, raw),
        )
        job_id = _made(done)[1]
        return await self._job_response(request, job_id, 202, replayed=isinstance(done, Answer))

    async def part(self, request: web.Request) -> web.Response:
        """GET of a collection inside a resource, or of one of its items."""
        stored = await operations.readable(
            self._cloud, self._resource, request[CALLER], request.match_info["id"]
        )
        base = request[BASE]
        uri = View(base, stored.document.acl.right_of(request[CALLER].principals)).resource(
            self._resource.kind.name, stored.document.id
        )
        body = _part(
            self._resource.parts, stored.document, uri, request.match_info["part"].split("/")
        )
        return web.Response(body=body, headers={"Content-Type": MEDIA_TYPE})

    async def _show(
        self, resource: Resource[Any], id: str, request: web.Request
    ) -> tuple[bytes, str]:
        return await self._front.cache.one(resource, id, request[CALLER], request[BASE])

    async def _job_response(
        self, request: web.Request, job_id: str, status: int, *, replayed: bool = False
    ) -> web.Response:
        body, _ = await self._show(_JOBS, job_id, request)
        headers = self._headers(request, job_id, replayed=replayed)
        return web.Response(body=body, status=status, headers=headers)

    def _headers(
        self, request: web.Request, job_id: str, *, replayed: bool = False
    ) -> dict[str, str]:
        headers = {
            "Content-Type": MEDIA_TYPE,
            "CIMI-Job-URI": f"{request[BASE]}{_JOBS.collection}/{job_id}",
        }
        if replayed:
            headers["Idempotent-Replay"] = "true"
        return headers

    def _if_match(self, request: web.Request) -> str | None:
        if request.headers.get("If-None-Match") is not None:
            raise PreconditionFailed(
                "If-None-Match on a change can never hold here: the resource exists.",
                hint="Use If-Match with the ETag you read.",
            )
        return request.headers.get("If-Match")

    def _once(self, request: web.Request, raw: bytes) -> Any:
        key = request.headers.get("Idempotency-Key")
        return once(key, request[CALLER], f"{request.method} {request.path}", raw)


def _made(done: Plan | Answer) -> tuple[str, str]:
    """Ids of the document and of the job."""
    if isinstance(done, Answer):
        return done.id, done.job
    return done.document.id, done.job.id


def _part(parts: tuple[Part, ...], document: Any, uri: str, path: list[str]) -> bytes:
    """The collection or item that a path below a resource names. Raises NotFound."""
    name, *rest = path
    part = next((each for each in parts if each.name == name), None)
    uri = f"{uri}/{name}"
    if part is None:
        raise NotFound(f"There is nothing at {uri[:300]}.", hint="Follow the references.")
    items = part.items(document, uri)
    if not rest:
        type_uri = str(part.item.__struct_config__.tag)
        encoded = [encode(item) for item in items]
        return encode_collection(type_uri, uri, part.array, encoded, count=len(items))
    number, *deeper = rest
    item = next((each for each in items if each.id == f"{uri}/{number}"), None)
    if item is None:
        raise NotFound(f"There is no {name} {number[:50]} here.", hint="List the collection.")
    return _part(part.parts, document, item.id, deeper) if deeper else encode(item)
