"""Health and metrics over HTTP, and the way every service opens its port."""

from __future__ import annotations

import socket
import ssl
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
from aiohttp import web
from prometheus_client import REGISTRY, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from stratuslab.core.errors import ConfigurationError
from stratuslab.core.service.listen import ListenAddress
from stratuslab.core.service.loop_lag import LoopLag
from stratuslab.core.service.readiness import Readiness

BACKLOG = 1024
KEEPALIVE_SECONDS = 75.0


@asynccontextmanager
async def serve(
    app: web.Application,
    listen: str,
    *,
    shutdown_seconds: float = 5.0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """Serves the application while the context is open; yields the address it is bound to.

    The address is a URL, or `unix:/path` (where `tls` does not apply). At the end requests under
    way get `shutdown_seconds`.
    Raises ConfigurationError when the address is taken or not ours.
    """
    address = ListenAddress.parse(listen)
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=KEEPALIVE_SECONDS,
        shutdown_timeout=shutdown_seconds,
    )
    bound = ""
    await runner.setup()
    try:
        try:
            bound = await _listen(runner, address, tls)
        except OSError as error:
            raise ConfigurationError(
                f"Cannot listen on {listen}: {error.strerror or error}.",
                hint="Is another process there? Choose another address.",
            ) from error
        yield bound
    finally:
        await runner.cleanup()
        if bound and address.path is not None:
            with suppress(OSError):
                address.path.unlink()


async def _listen(runner: web.AppRunner, address: ListenAddress, tls: ssl.SSLContext | None) -> str:
    if address.path is not None:
        _make_way(address.path)
        await web.UnixSite(runner, str(address.path), backlog=BACKLOG).start()
        address.path.chmod(0o600)
        return f"unix:{address.path}"
    await web.TCPSite(runner, address.host, address.port, backlog=BACKLOG, ssl_context=tls).start()
    host, port = runner.addresses[0][:2]
    scheme = "http" if tls is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _make_way(path: Path) -> None:
    """Removes a socket that a killed process left. Raises ConfigurationError if one lives."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigurationError(f"Cannot listen on {path}: this is a file and no socket.")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
    raise ConfigurationError(
        f"Cannot listen on {path}: another process does.", hint="Stop it, or choose another path."
    )


def ops_application(readiness: Readiness, lag: LoopLag) -> web.Application:
    """`/healthz` the process lives, `/readyz` it can do its work, `/metrics` for Prometheus."""
    begin = time.monotonic()
    disable_created_metrics()  # type: ignore[no-untyped-call]

    async def healthz(_request: web.Request) -> web.Response:
        return _json(
            {
                "status": "alive",
                "uptimeSeconds": round(time.monotonic() - begin, 3),
                "loopLagSeconds": round(lag.last_seconds, 6),
                "worstLoopLagSeconds": round(lag.worst_seconds, 6),
            }
        )

    async def readyz(_request: web.Request) -> web.Response:
        report = await readiness.report()
        return _json(report, status=200 if report.ready else 503)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    app = web.Application(client_max_size=1024)
    routes: dict[str, Callable[[web.Request], Awaitable[web.Response]]] = {
        "/healthz": healthz,
        "/readyz": readyz,
        "/metrics": metrics,
    }
    for path, handler in routes.items():
        app.router.add_get(path, handler)
    return app


def _json(content: object, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content), status=status, content_type="application/json"
    )
