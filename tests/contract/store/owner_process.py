"""A process that owns stores, for tests: `open FOLDER` and `close FOLDER` on its input.

Answers `ready` or `closed`, or `failed: …` with the error's sentence. It can be killed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import structlog
import uvloop
from contract.store import samples  # noqa: F401 - declares the kinds

from stratuslab.core.errors import ConfigurationError
from stratuslab.core.store.sqlite import SqliteOwner


async def main() -> None:
    """Obeys until its input ends."""
    owners: dict[str, SqliteOwner] = {}
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        order, _, folder = line.decode().strip().partition(" ")
        try:
            if order == "open":
                owners[folder] = await SqliteOwner(Path(folder)).__aenter__()
            else:
                await owners.pop(folder).__aexit__(None, None, None)
            print("ready" if order == "open" else "closed", flush=True)
        except ConfigurationError as error:
            print(f"failed: {error}", flush=True)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    uvloop.run(main())
