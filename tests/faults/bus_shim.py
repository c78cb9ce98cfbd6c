"""A man in the middle between clients and their nats-server, to hurt real, separate processes.

It listens on a loopback port of its own and understands the server's side of the NATS text
protocol as far as needed: messages (`MSG`, `HMSG`) can be dropped, repeated and reordered while
everything else passes, so that clients keep believing in their connection. Give its `url` to the
clients instead of the server's, and change its mind at any time::

    async with BusShim(server.url, seed=seed) as shim:
        ... start the services with shim.url ...
        shim.drop_everything()
        ...
        shim.deliver()
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

ALL_MESSAGES = ("*",)
HINTS_AND_EVENTS = ("sl.*.v1.hint.*", "sl.*.v1.evt.*")
"""As file name patterns: a star also matches dots."""

_LIMIT = 4 * 1024 * 1024


class BusShim:
    """Delivers everything until told otherwise. `counts` tells what it did."""

    def __init__(self, server_url: str, *, seed: int) -> None:
        target = urlsplit(server_url)
        assert target.hostname is not None
        assert target.port is not None
        self._target = (target.hostname, target.port)
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._treat: Callable[[str], list[float]] = _at_once
        self._cut = False
        self.url = ""
        self.counts: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_LIMIT)
        self.url = f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._end_connections()
        await self._server.wait_closed()

    # -- what to do

    def deliver(self) -> None:
        """Everything passes, once and in order."""
        self._treat = _at_once
        self._cut = False

    def drop_everything(self) -> None:
        """No message reaches any client: no hint, no event, no reply, no acknowledgement."""
        self.drop(*ALL_MESSAGES)

    def drop(self, *patterns: str, share: float = 1.0) -> None:
        """Drops this share of the messages whose subject fits."""

        def treat(subject: str) -> list[float]:
            hit = _fits(subject, patterns) and self._random.random() < share
            return [] if hit else [0.0]

        self._treat = treat

    def multiply(
        self,
        *patterns: str,
        copies: int = 3,
        within_seconds: float = 0.2,
    ) -> None:
        """Delivers each message that fits so many times, each at a random moment from now on.

        Without patterns: hints and events. Messages so overtake each other, and themselves.
        """

        def treat(subject: str) -> list[float]:
            if not _fits(subject, patterns or HINTS_AND_EVENTS):
                return [0.0]
            return [self._random.uniform(0, within_seconds) for _ in range(copies)]

        self._treat = treat

    async def cut(self) -> None:
        """Ends all connections and refuses new ones, until `deliver`."""
        self._cut = True
        await self._end_connections()

    # -- how

    async def _end_connections(self) -> None:
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if not self._cut:
                await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # by `cut` or on leaving: the stream server would log it
        finally:
            self._connections.discard(task)
            await _close(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._target, limit=_LIMIT)
        except OSError:
            return
        self.counts["connections"] += 1
        ways = [
            asyncio.create_task(_pass_on(reader, up_writer)),
            asyncio.create_task(self._to_client(up_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await _close(up_writer)

    async def _to_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while line := await reader.readline():
            words = line.split()
            if not words or words[0] not in (b"MSG", b"HMSG"):
                _write(writer, line)
            else:
                frame = line + await reader.readexactly(int(words[-1]) + 2)
                moments = self._treat(words[1].decode())
                self.counts["dropped" if not moments else "delivered"] += 1
                self.counts["repeated"] += max(len(moments) - 1, 0)
                for moment in moments:
                    if moment:
                        loop.call_later(moment, _write, writer, frame)
                    else:
                        _write(writer, frame)
            await writer.drain()


def _at_once(subject: str) -> list[float]:
    return [0.0]


def _fits(subject: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(subject, pattern) for pattern in patterns)


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
