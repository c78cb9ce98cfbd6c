"""Builds the front door out of its ports, and nothing else."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from aiohttp import web

from stratuslab.cloud.edge.backend import Backend
from stratuslab.cloud.edge.handlers import FrontDoor
from stratuslab.cloud.edge.routes import ROUTES
from stratuslab.cloud.edge.settings import EdgeSettings
from stratuslab.core.errors import ConfigurationError


def create_app(settings: EdgeSettings) -> web.Application:
    """The web application of the door."""
    backends = {
        route.service: Backend(getattr(settings, route.service), settings) for route in ROUTES
    }

    async def connections(_app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for backend in backends.values():
                await stack.enter_async_context(backend)
            yield

    app = web.Application()
    app.cleanup_ctx.append(connections)
    app.router.add_route("*", "/{path:.*}", FrontDoor(settings, backends).handle)
    return app


def tls_context(settings: EdgeSettings) -> ssl.SSLContext | None:
    """The door's certificate, None for plain HTTP. Raises ConfigurationError."""
    if not settings.tls_certificate_file:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"The certificate {settings.tls_certificate_file} cannot be used: {error}.",
            hint="Name a PEM file with the chain, and its key in tls_key_file.",
        ) from error
    return context
