"""Every route of the service, with the rule that guards it.

The rule is enforced where the operation is carried out (`operations`, `lists`); it is stated
here so that a test can walk all routes and try each of them as everybody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from stratuslab.cimi_api.handlers.console import ConsoleHandlers
from stratuslab.cimi_api.handlers.entry_point import EntryPointHandlers
from stratuslab.cimi_api.handlers.resource import Front, ResourceHandlers
from stratuslab.cimi_api.model.entry_point import PATH
from stratuslab.cimi_api.model.references import ID_PATTERN, ROOT
from stratuslab.cimi_api.resources import CONSOLE_LOG, TABLE, Resource
from stratuslab.core.documents import Right
from stratuslab.core.documents.frame import ANONYMOUS, ANY_USER

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Rule:
    """Who may: callers with this role, and with this right on the resource itself."""

    role: str
    right: Right = Right.NONE


@dataclass(frozen=True)
class Route:
    """One method on one path."""

    method: str
    path: str
    handler: Handler
    rule: Rule
    resource: Resource[Any] | None = None
    operation: str = "read"


def routes(front: Front) -> list[Route]:
    """All routes; OPTIONS comes with each path."""
    entry_point = EntryPointHandlers(front.cloud.settings)
    public = Rule(ANONYMOUS)
    found = [
        Route("GET", path, entry_point.read, public)
        for path in (f"/{ROOT}", f"/{ROOT}/", f"/{ROOT}/{PATH}")
    ]
    for resource in TABLE:
        found += _routes_of(front, resource)
    return [*found, *_options(found)]


def _routes_of(front: Front, resource: Resource[Any]) -> list[Route]:
    handlers = ResourceHandlers(front, resource)
    rights = resource.rights
    collection = f"/{ROOT}/{resource.collection}"
    item = f"{collection}/{{id:{ID_PATTERN}}}"

    def route(method: str, path: str, handler: Handler, operation: str, rule: Rule) -> Route:
        return Route(method, path, handler, rule, resource, operation)

    seen = Rule(ANY_USER, Right.VIEW)
    found = [
        route("GET", item, handlers.read, "read", seen),
        route("GET", collection, handlers.list, "list", seen),
    ]
    if resource.add is not None:
        found.append(route("POST", collection, handlers.add, "add", Rule(resource.add)))
    if "edit" in rights:
        found.append(route("PUT", item, handlers.edit, "edit", Rule(ANY_USER, rights["edit"])))
    if "delete" in rights:
        rule = Rule(ANY_USER, rights["delete"])
        found.append(route("DELETE", item, handlers.delete, "delete", rule))
    if CONSOLE_LOG in rights:
        console = ConsoleHandlers(front, resource)
        rule = Rule(ANY_USER, rights[CONSOLE_LOG])
        found.append(route("GET", f"{item}/{CONSOLE_LOG}", console.read, CONSOLE_LOG, rule))
    for action in resource.actions:
        rule = Rule(ANY_USER, rights[action])
        found.append(route("POST", f"{item}/{action}", handlers.action(action), action, rule))
    for part in resource.parts:
        path = f"{item}/{{part:{part.name}(?:/.*)?}}"
        found.append(route("GET", path, handlers.part, "read", seen))
    return found


def _options(found: list[Route]) -> list[Route]:
    methods: dict[str, set[str]] = {}
    for each in found:
        more = {each.method, "HEAD"} if each.method == "GET" else {each.method}
        methods.setdefault(each.path, {"OPTIONS"}).update(more)
    rules = {each.path: Rule(each.rule.role) for each in found if each.method == "GET"}
    return [
        Route("OPTIONS", path, _allow(allowed), rules.get(path, Rule(ANY_USER)), None, "options")
        for path, allowed in methods.items()
    ]


def _allow(methods: set[str]) -> Handler:
    allow = ", ".join(sorted(methods))

    async def options(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=200, headers={"Allow": allow})

    return options
