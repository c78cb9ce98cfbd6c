"""Chooses the store adapter by its URL; adapters are imported only when they are used."""

from __future__ import annotations

from pathlib import Path

from stratuslab.core.errors import ConfigurationError
from stratuslab.core.store.base import Store


def open_store(url: str) -> Store:
    """A store that is not yet entered: `sqlite:/folder` or `memory:`.

    Raises ConfigurationError with what would be right.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite" and rest.startswith("/"):
        from stratuslab.core.store.sqlite0.store import SqliteStore

        return SqliteStore(Path(rest))
    if scheme == "memory":
        from stratuslab.core.store.memory import MemoryStore

        return MemoryStore()
    if scheme == "couchbase":
        raise ConfigurationError(
            "This version has no adapter for Couchbase yet.",
            hint="Set STRATUSLAB_STORE to sqlite:/folder, as `stratuslab up` does.",
        )
    if not url:
        raise ConfigurationError(
            "No store is configured.",
            hint="Set STRATUSLAB_STORE to sqlite:/folder, or write /etc/stratuslab/couchbase.cfg.",
        )
    raise ConfigurationError(
        f"{url!r} is no store.", hint="Write sqlite:/folder with an absolute path."
    )
