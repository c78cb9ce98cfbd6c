"""The command `stratuslab-edge`."""

from __future__ import annotations

from stratuslab.cloud.edge.app import create_app, tls_context
from stratuslab.cloud.edge.settings import EdgeSettings
from stratuslab.core.service import Service, run
from stratuslab.core.service.handlers import serve


async def run_edge(service: Service[EdgeSettings]) -> None:
    """The body of the front door."""
    settings = service.settings
    async with serve(create_app(settings), settings.listen, tls=tls_context(settings)):
        await service.until_stopped()


def main() -> None:
    """Runs the door until it is told to stop."""
    run("edge", EdgeSettings, run_edge)


if __name__ == "__main__":
    main()
