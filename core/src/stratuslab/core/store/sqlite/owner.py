"""The owner of a store: the one process that writes, and the socket where it takes requests.

What has arrived when a commit begins is carried out by it together (group commit); an answer is
sent only after the commit lies on the disk. Commits run on the event loop, not in a thread:
handing each to a thread and back was measured to cost a quarter more processor time and 0.1 ms
more per write, and the owning process has nothing better to do meanwhile than to let requests
gather for the next commit.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import apsw
import structlog

import stratuslab.core.contracts  # noqa: F401 - declares the kinds
from stratuslab.core.documents.kinds import Kind, kinds
from stratuslab.core.errors import ConfigurationError
from stratuslab.core.store.sqlite.files import (
    SOCKET,
    FolderLock,
    listening_socket,
    open_for_writing,
)
from stratuslab.core.store.sqlite.metrics import COMMIT_SECONDS, DONE, FAILED
from stratuslab.core.store.sqlite.peer import Peer
from stratuslab.core.store.sqlite.schema import Meta, prepare
from stratuslab.core.store.sqlite.wire import (
    Answer,
    Failed,
    Reached,
    WriteRequest,
    frame,
)
from stratuslab.core.store.sqlite.writer import Writer, is_uncertain

log = structlog.get_logger()

GROUP_LIMIT = 256
"""Requests in one commit."""
WAITING_LIMIT = 4096
"""Requests waiting, above which no more are read from the sockets."""
UNREAD_LIMIT_BYTES = 1024 * 1024
"""A watcher that has so much unread is not told of further commits until it has read."""
IDLE_SECONDS = 1.0
"""How often an idle owner looks for what has expired."""
CLOSE_SECONDS = 1.0
"""How long clients may take to fetch their last answers when the owner stops."""
KEPT_CHANGES = 100_000
KEPT_SECONDS = 7 * 24 * 3600.0


class SqliteOwner:
    """Serves the store in a folder while inside `async with`.

    A disk that fails in the middle of a commit ends the block with an error: only opening the
    database anew tells what was written, so the process must be started again.
    """

    def __init__(
        self,
        folder: Path,
        *,
        declared: Iterable[Kind[Any]] | None = None,
        clock: Callable[[], float] = time.time,
        kept_changes: int = KEPT_CHANGES,
        kept_seconds: float = KEPT_SECONDS,
        page_limit: int | None = None,
    ) -> None:
        """`declared`: the kinds to make tables for, all by default. `kept_changes` lines of the
        change log are kept, none longer than `kept_seconds`; `page_limit` bounds the database in
        pages of 4 KiB.
        """
        self._folder = folder
        self._declared = declared
        self._clock = clock
        self._kept_changes = kept_changes
        self._kept_seconds = kept_seconds
        self._page_limit = page_limit
        self._waiting: deque[tuple[Peer, WriteRequest]] = deque()
        self._wake = asyncio.Event()
        self._connections: set[Peer] = set()
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._closing = False
        self._tidied = 0.0

    async def __aenter__(self) -> Self:
        """Opens the store and listens. Raises ConfigurationError in one clear line."""
        self._lock = FolderLock(self._folder)
        try:
            self._writer, self.meta = self._open()
            try:
                self._server = await asyncio.get_running_loop().create_unix_server(
                    lambda: Peer(self), sock=listening_socket(self._folder)
                )
            except OSError as error:
                self._writer.close()
                raise ConfigurationError(
                    f"The document store cannot listen in {self._folder}: {error}."
                ) from error
        except BaseException:
            self._lock.release()
            raise
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        self._tasks.create_task(self._commit_groups(), name="store-owner")
        log.info("store.serving", folder=str(self._folder), sequence=self.meta.sequence)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Answers what has arrived, then closes."""
        self._closing = True
        self._wake.set()
        try:
            await self._stop_listening()
            await self._tasks.__aexit__(None, None, None)
        finally:
            await self._disconnect()
            self._writer.close()
            self._lock.release()

    async def _stop_listening(self) -> None:
        # asyncio loses a connection that it is accepting when a server is closed. So first
        # nobody can find the socket, then those on their way arrive, to be sent away.
        (self._folder / SOCKET).unlink(missing_ok=True)
        for _ in range(5):
            await asyncio.sleep(0)
        self._server.close()

    async def _disconnect(self) -> None:
        for connection in self._connections:
            connection.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._nobody.wait()
        except TimeoutError:
            for connection in self._connections:
                connection.abort()

    def _open(self) -> tuple[Writer, Meta]:
        declared = tuple(kinds() if self._declared is None else self._declared)
        try:
            connection = open_for_writing(self._folder, self._page_limit)
            try:
                meta = prepare(connection, declared)
                writer = Writer(
                    connection,
                    declared,
                    meta,
                    clock=self._clock,
                    kept_changes=self._kept_changes,
                    kept_seconds=self._kept_seconds,
                )
            except BaseException:
                connection.close()
                raise
        except (apsw.NotADBError, apsw.CorruptError) as error:
            raise ConfigurationError(
                f"The database of the document store in {self._folder} is damaged: {error}.",
                hint="Put it aside and restore a backup.",
            ) from error
        except (apsw.Error, OSError) as error:
            raise ConfigurationError(
                f"The database of the document store in {self._folder} cannot be opened: {error}.",
                hint="Look for a full disk, a read-only file system or another user's files.",
            ) from error
        return writer, meta

    # What arrives

    @property
    def cloud_id(self) -> str:
        """Which cloud's store this is."""
        return self.meta.cloud_id

    def arrived(self, connection: Peer, request: WriteRequest) -> None:
        """A request to be carried out with the next commit."""
        self._waiting.append((connection, request))
        self._wake.set()
        if len(self._waiting) >= WAITING_LIMIT:
            for each in self._connections:
                each.read_on(reading=False)

    def made(self, connection: Peer) -> None:
        """A client has connected."""
        self._connections.add(connection)
        self._nobody.clear()
        if self._closing:
            connection.abort()

    def gone(self, connection: Peer) -> None:
        """A client has disconnected; what it had asked for is still carried out."""
        self._connections.discard(connection)
        if not self._connections:
            self._nobody.set()

    # Group commit

    async def _commit_groups(self) -> None:
        while not (self._closing and not self._waiting):
            group = await self._next_group()
            requests = [request for _, request in group]
            before = self._writer.sequence
            with COMMIT_SECONDS.time():
                answers = self._writer.execute(requests)
            self._answer(group, answers)
            if self._writer.sequence != before:
                self._tell_watchers()
            if any(is_uncertain(answer) for answer in answers):
                raise ConfigurationError(
                    f"The disk below {self._folder} failed while the store was writing.",
                    hint="Look at the system's log; the store must be started again.",
                )
            self._tidy()
            await asyncio.sleep(0)  # take in what has arrived meanwhile

    def _tidy(self) -> None:
        now = time.monotonic()
        if now - self._tidied >= IDLE_SECONDS:
            self._tidied = now
            self._writer.tidy()

    async def _next_group(self) -> list[tuple[Peer, WriteRequest]]:
        """The requests that wait, at least one unless something has expired or it is the end."""
        while not self._waiting and not self._closing:
            self._wake.clear()
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                if self._writer.due:
                    break
                self._tidy()
        full = len(self._waiting) >= WAITING_LIMIT
        group = [self._waiting.popleft() for _ in range(min(GROUP_LIMIT, len(self._waiting)))]
        if full:
            for each in self._connections:
                each.read_on(reading=True)
        return group

    def _answer(
        self, group: Sequence[tuple[Peer, WriteRequest]], answers: Sequence[Answer]
    ) -> None:
        refused = sum(isinstance(answer, Failed) for answer in answers)
        FAILED.inc(refused)
        DONE.inc(len(answers) - refused)
        bytes_for: dict[Peer, list[bytes]] = {}
        for (connection, _), answer in zip(group, answers, strict=True):
            bytes_for.setdefault(connection, []).append(frame(answer))
        for connection, frames in bytes_for.items():
            connection.send(b"".join(frames))

    def _tell_watchers(self) -> None:
        message = frame(Reached(self._writer.sequence))
        for connection in self._connections:
            if connection.watching and connection.unread_bytes < UNREAD_LIMIT_BYTES:
                connection.send(message)
