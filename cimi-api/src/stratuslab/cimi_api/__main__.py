"""The command `stratuslab-cimi-api`: one front, as many of them as one likes."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import structlog

from stratuslab.cimi_api.app import create_app
from stratuslab.cimi_api.first_start import ensure_first_start
from stratuslab.cimi_api.settings import CimiSettings
from stratuslab.core.security.passwords import PasswordHashes
from stratuslab.core.service import Service, run
from stratuslab.core.service.handlers import serve

log = structlog.get_logger()


async def body(service: Service[CimiSettings]) -> None:
    """Serves the API until told to stop."""
    settings = service.settings
    vault = service.open_vault()
    with closing(PasswordHashes()) as passwords:
        async with service.open_store() as store, service.open_bus() as bus:
            await ensure_first_start(store, passwords, Path(settings.admin_password_file))
            app = create_app(store, bus, settings, passwords=passwords, vault=vault)
            async with serve(app, settings.listen) as address:
                log.info("api.listening", address=address)
                await service.until_stopped()


def main() -> None:
    """Runs the front in this process."""
    run("cimi-api", CimiSettings, body)


if __name__ == "__main__":
    main()
