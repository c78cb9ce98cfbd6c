"""Which store a service uses when its settings name none: a Couchbase on this host, or nothing.

By then the environment, the TOML file and `couchbase.cfg` were asked (`settings.loading`).
"""

from __future__ import annotations

import asyncio

from stratuslab.core.errors import ConfigurationError
from stratuslab.core.settings.couchbase_cfg import COUCHBASE_FILE, CouchbaseAddress

COUCHBASE_PORT = 11210
"""Of the data service; it listens as soon as the node is a member of a cluster."""
PROBE_SECONDS = 1.0


async def store_address(
    configured: str, *, host: str = "127.0.0.1", port: int = COUCHBASE_PORT
) -> str:
    """The store's URL. Raises ConfigurationError when there is none."""
    if configured:
        return configured
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
    except (OSError, TimeoutError):
        raise ConfigurationError(
            f"No store is known: STRATUSLAB_STORE is not set, there is no {COUCHBASE_FILE}, "
            "and no Couchbase answers on this host.",
            hint="Start the cloud with `stratuslab up`, or say which store to use.",
        ) from None
    return CouchbaseAddress(hosts=(host,)).url
