"""From a URL to a bus."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from stratuslab.core.bus.base import Bus
from stratuslab.core.bus.credentials import read_credentials
from stratuslab.core.errors import ConfigurationError


def open_bus(url: str, *, name: str, credentials_file: Path | None = None) -> Bus:
    """The bus at this URL, to be used as `async with`.

    `nats://host:port`, `tls://host:port`, several separated by commas, or `memory:` for a bus
    within this process. Raises ConfigurationError (URL, credentials file).
    """
    if url == "memory:":
        from stratuslab.core.bus.memory import MemoryBus

        return MemoryBus(MemoryBus.process_hub())
    urls = [each.strip() for each in url.split(",")]
    for each in urls:
        if not each.startswith(("nats://", "tls://")):
            raise ConfigurationError(
                f"{each!r} is no address of a bus.",
                hint="Use nats://host:port, tls://host:port, or memory: for one process alone.",
            )
        if "@" in each:
            raise ConfigurationError(
                "The address of the bus must not hold a user or password.",
                hint="Put them into the credentials file.",
            )
    # Only here: whoever needs no NATS must not pay for its import.
    from stratuslab.core.bus.nats import NatsBus

    credentials = partial(read_credentials, credentials_file) if credentials_file else None
    return NatsBus(urls, name=name, credentials=credentials)
