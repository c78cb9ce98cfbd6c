"""One service behind the door: where it is, and the connections that are kept open to it."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from stratuslab.cloud.edge.settings import EdgeSettings

CONNECTIONS_MAX = 256
UNSEEN_HOST = "service"
"""Stands in URLs where a unix socket needs no host; the Host header is the client's."""


class Backend:
    """Use as `async with`. `address` is `unix:/path` or `host:port`."""

    def __init__(self, address: str, settings: EdgeSettings) -> None:
        self._path = address.removeprefix("unix:") if address.startswith("unix:") else None
        self._origin = f"http://{UNSEEN_HOST if self._path else address}"
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=settings.connect_seconds, sock_read=settings.answer_seconds
        )

    async def __aenter__(self) -> Self:
        connector = (
            aiohttp.UnixConnector(path=self._path, limit=CONNECTIONS_MAX)
            if self._path
            else aiohttp.TCPConnector(limit=CONNECTIONS_MAX)
        )
        self.session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.session.close()

    def url(self, path_and_query: str) -> URL:
        """The URL of a path that is encoded already, and must stay as the client wrote it."""
        return URL(self._origin + path_and_query, encoded=True)
