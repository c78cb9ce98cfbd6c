"""The command `stratuslab-store`: the process that owns a SQLite store and relays its events."""

from __future__ import annotations

from pathlib import Path

from stratuslab.core.bus.relay import relay
from stratuslab.core.errors import ConfigurationError
from stratuslab.core.service import Service, run
from stratuslab.core.store.settings import StoreSettings
from stratuslab.core.store.sqlite import SqliteOwner


async def run_store(service: Service[StoreSettings]) -> None:
    """The body of `stratuslab-store`."""
    scheme, _, folder = service.common.store.partition(":")
    if scheme != "sqlite":
        raise ConfigurationError(
            f"There is no store to own at {service.common.store!r}.",
            hint="Set STRATUSLAB_STORE to sqlite:/folder.",
        )
    async with (
        SqliteOwner(
            Path(folder),
            kept_changes=service.settings.kept_changes,
            kept_seconds=service.settings.kept_changes_seconds,
        ),
        service.open_store() as store,
        service.open_bus() as bus,
    ):
        service.spawn(relay(store, bus), "event-relay")
        await service.until_stopped()


def main() -> None:
    """Runs the store until it is told to stop."""
    run("store", StoreSettings, run_store)


if __name__ == "__main__":
    main()
