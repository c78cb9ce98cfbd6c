"""Builds the front door out of its ports, and nothing else."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator

from aiohttp import web

from stratuslab.cloud.edge.handlers import Backend, FrontDoor
from stratuslab.cloud.edge.settings import EdgeSettings
from stratuslab.core.errors import ConfigurationError


def create_app(settings: EdgeSettings) -> web.Application:
    """The web application of the door."""
    backends: dict[str, Backend] = {}

    async def sessions(_app: web.Application) -> AsyncIterator[None]:
        backends["cimi"] = Backend(settings.cimi, settings)
        yield
        for backend in backends.values():
            await backend.session.close()

    app = web.Application(client_max_size=settings.body_mib_max * 1024 * 1024)
    app.cleanup_ctx.append(sessions)
    app.router.add_route("*", "/{path:.*}", FrontDoor(backends).handle)
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
            f"The certificate {settings.tls_certificate_file} cannot be used: {error}."
        ) from error
    return context
