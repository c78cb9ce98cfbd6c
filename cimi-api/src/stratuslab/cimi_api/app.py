"""Builds the front out of its ports, and nothing else."""

from __future__ import annotations

from aiohttp import web

from stratuslab.cimi_api.authentication import Authenticator
from stratuslab.cimi_api.handlers.edge import Edge
from stratuslab.cimi_api.handlers.resource import Front
from stratuslab.cimi_api.handlers.routes import Route, routes
from stratuslab.cimi_api.lists import Lists
from stratuslab.cimi_api.numbers import Numbers
from stratuslab.cimi_api.plan import Cloud
from stratuslab.cimi_api.ports import Passwords, Vault
from stratuslab.cimi_api.rendering import RenderCache
from stratuslab.cimi_api.settings import CimiSettings
from stratuslab.core.bus import Bus
from stratuslab.core.documents.frame import ANONYMOUS
from stratuslab.core.store import Store

ROUTES = web.AppKey("routes", list[Route])
"""The table of routes of an application, with their rules."""


def create_app(
    store: Store, bus: Bus, settings: CimiSettings, *, passwords: Passwords, vault: Vault
) -> web.Application:
    """The web application. Store and bus are open already and are closed by the caller."""
    cloud = Cloud(store, bus, settings, vault, passwords, Numbers(store, "vmid"))
    cache = RenderCache(store, settings.render_cache_entries)
    front = Front(cloud, cache, Lists(store, cache))
    table = routes(front)
    public = frozenset(each.path for each in table if each.rule.role == ANONYMOUS)
    authenticator = Authenticator(store, passwords, max_logins=settings.login_cache_entries)
    edge = Edge(settings, authenticator, public_paths=public)
    app = web.Application(middlewares=[edge.middleware()], client_max_size=settings.body_bytes_max)
    app[ROUTES] = table

    async def write_journal(_app: web.Application) -> None:
        edge.journal.write()

    app.on_cleanup.append(write_journal)
    for each in table:
        if each.method == "GET":
            app.router.add_get(each.path, each.handler)
        else:
            app.router.add_route(each.method, each.path, each.handler)
    return app
