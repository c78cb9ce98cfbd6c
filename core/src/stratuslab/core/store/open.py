"""The store that a setting names."""

from __future__ import annotations

from pathlib import Path

from stratuslab.core.errors import ConfigurationError
from stratuslab.core.store.base import Store


def open_store(url: str, *, patience_seconds: float = 5.0) -> Store:
    """The store at this address, to be used as `async with`.

    `sqlite:/absolute/folder`: the store in that folder, served by its owner on this host.
    `memory:`: one that forgets with the process, for trials. `patience_seconds`: how long to wait
    for a store that is away before an operation is Unavailable.
    Raises ConfigurationError for anything else.
    """
    scheme, colon, place = url.partition(":")
    if colon and scheme == "memory" and not place:
        from stratuslab.core.store.memory import MemoryStore

        return MemoryStore()
    if colon and scheme == "sqlite":
        if not place.startswith("/"):
            raise ConfigurationError(
                f"The store {url!r} names no absolute folder.",
                hint="Write sqlite:/var/lib/stratuslab/store, for example.",
            )
        from stratuslab.core.store.sqlite import SqliteStore

        return SqliteStore(Path("/" + place.lstrip("/")), patience_seconds=patience_seconds)
    if colon and scheme in ("couchbase", "couchbases"):
        raise ConfigurationError(
            f"The store {url!r} needs the Couchbase adapter, which is not installed.",
            hint="Use sqlite:/absolute/folder, or a version of the cloud that has the adapter.",
        )
    raise ConfigurationError(
        f"{url!r} names no kind of store.", hint="Known are sqlite:/absolute/folder and memory:."
    )
