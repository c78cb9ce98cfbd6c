"""Health and metrics over HTTP, and the way every service opens its port."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
from aiohttp import web
from prometheus_client import REGISTRY
from prometheus_client.exposition import generate_latest

from stratuslab.core.errors import ConfigurationError
from stratuslab.core.service.listen import ListenAddress
from stratuslab.core.service.readiness import Readiness


@asynccontextmanager
async def serve(
    app: web.Application,
    listen: str,
    *,
    shutdown_seconds: float = 5.0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """Serves the application while the context is open; yields the bound address.

    Raises ConfigurationError when the address is taken or not ours.
    """
    address = ListenAddress.parse(listen)
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=shutdown_seconds, handle_signals=False
    )
    await runner.setup()
    try:
        try:
            bound = await _bind(runner, address, tls)
        except OSError as error:
            raise ConfigurationError(
                f"Cannot listen on {listen}: {error.strerror or error}.",
                hint="Is another process there? Choose another address.",
            ) from error
        yield bound
    finally:
        await runner.cleanup()


async def _bind(runner: web.AppRunner, address: ListenAddress, tls: ssl.SSLContext | None) -> str:
    if address.path is not None:
        with suppress(FileNotFoundError):
            address.path.unlink()
        await web.UnixSite(runner, str(address.path)).start()
        address.path.chmod(0o600)
        return f"unix:{address.path}"
    site = web.TCPSite(runner, address.host, address.port, backlog=1024, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    scheme = "https" if tls is not None else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def ops_application(readiness: Readiness) -> web.Application:
    """`/healthz` the process lives, `/readyz` its ports work, `/metrics` for Prometheus."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_request: web.Request) -> web.Response:
        report = await readiness.report()
        return web.Response(
            body=msgspec.json.encode(report),
            status=200 if report.ready else 503,
            content_type="application/json",
        )

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(REGISTRY),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )

    app = web.Application()
    routes: dict[str, Callable[[web.Request], Awaitable[web.Response]]] = {
        "/healthz": healthz,
        "/readyz": readyz,
        "/metrics": metrics,
    }
    for path, handler in routes.items():
        app.router.add_get(path, handler)
    return app
