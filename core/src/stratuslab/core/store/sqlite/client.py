"""A process's connection to the store's owner: asks, waits for the answer, reconnects by itself.

What was sent and not answered when the connection broke is `Ambiguous`; what could not be sent
within the patience is `Unavailable`. It must not repeat a request: whether that is harmless only
the caller knows.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import msgspec
import structlog

from stratuslab.core.errors import (
    Ambiguous,
    ConfigurationError,
    StratusLabError,
    TooLarge,
    TransientError,
    Unavailable,
)
from stratuslab.core.store.sqlite.files import socket_address
from stratuslab.core.store.sqlite.metrics import CONNECTIONS
from stratuslab.core.store.sqlite.wire import (
    MAX_FRAME_BYTES,
    PROTOCOL,
    Done,
    Failed,
    FrameBuffer,
    Hello,
    Reached,
    Request,
    Watch,
    error_of,
    frame,
    read_reply,
)

log = structlog.get_logger()

MAX_UNDER_WAY = 4096
"""Requests waiting for their answer; more are refused at once."""
SHORTEST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.25


class OwnerClient:
    """The connection. `reached` is called with the sequence after each commit once `watch`ed."""

    def __init__(
        self,
        folder: Path,
        *,
        patience_seconds: float,
        answer_seconds: float,
        reached: Callable[[int | None], None],
    ) -> None:
        """`patience_seconds` bounds the wait for a connection, `answer_seconds` for an answer.

        `reached` gets None after a reconnect, when anything may have happened.
        """
        self._folder = folder
        self._patience_seconds = patience_seconds
        self._answer_seconds = answer_seconds
        self._reached = reached
        self._watching = False
        self._connection: _Connection | None = None
        self._connected = asyncio.Event()
        self._refused: ConfigurationError | None = None
        self._last_number = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Waits until the owner answers. Raises Unavailable after the patience."""
        self._task = asyncio.create_task(self._stay_connected(), name="store-connection")
        try:
            await self._ready()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def next_number(self) -> int:
        """A number for the next request."""
        self._last_number += 1
        return self._last_number

    async def ask(self, request: Request) -> Done:
        """The owner's answer. Raises what it refused with, Unavailable, Ambiguous."""
        connection = self._connection or await self._ready()
        answer = await connection.ask(request, self._answer_seconds)
        if isinstance(answer, Failed):
            raise error_of(answer)
        return answer

    async def watch(self) -> None:
        """Be told of commits from now on, also after reconnects."""
        if self._watching:
            return
        self._watching = True
        try:
            await self.ask(Watch(self.next_number()))
        except TransientError:
            if self._connection is not None:
                self._connection.close()  # the next one watches from its beginning

    async def _ready(self) -> _Connection:
        try:
            async with asyncio.timeout(self._patience_seconds):
                while (connection := self._connection) is None:
                    await self._connected.wait()
            return connection
        except TimeoutError:
            raise self._refused or Unavailable(
                f"The document store in {self._folder} is not being served.",
                hint="Its owning process has died or was not started; it is waited for.",
            ) from None

    async def _stay_connected(self) -> None:
        pause = SHORTEST_PAUSE_SECONDS
        while True:
            try:
                connection = await self._connect()
            except (OSError, StratusLabError) as error:
                self._refused = error if isinstance(error, ConfigurationError) else None
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                continue
            self._refused = None
            pause = SHORTEST_PAUSE_SECONDS
            try:
                if not connection.lost.is_set():
                    CONNECTIONS.inc()
                    self._connection = connection
                    self._connected.set()
                    self._reached(None)
                await connection.lost.wait()
                log.info("store.connection_lost", folder=str(self._folder))
            finally:
                connection.close()

    def _lost(self) -> None:
        self._connection = None
        self._connected.clear()

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._patience_seconds):
            with socket_address(self._folder) as address:
                _, connection = await loop.create_unix_connection(
                    lambda: _Connection(self._reached, self._lost), address
                )
        try:
            hello = Hello(self.next_number(), PROTOCOL, str(os.getpid()))
            answer = await connection.ask(hello, self._patience_seconds)
            if isinstance(answer, Failed):
                raise error_of(answer)
            if self._watching:
                await connection.ask(Watch(self.next_number()), self._patience_seconds)
        except BaseException:
            connection.close()
            raise
        return connection


class _Connection(asyncio.Protocol):
    """One connection, from its making to its loss."""

    def __init__(
        self, reached: Callable[[int | None], None], when_lost: Callable[[], None]
    ) -> None:
        self.lost = asyncio.Event()
        self._reached = reached
        self._when_lost = when_lost
        self._transport: asyncio.Transport | None = None
        self._frames = FrameBuffer()
        self._under_way: dict[int, asyncio.Future[Done | Failed]] = {}

    async def ask(self, request: Request, answer_seconds: float) -> Done | Failed:
        message = frame(request)
        if len(message) > MAX_FRAME_BYTES:
            raise TooLarge(f"The writes have {len(message)} bytes together.")
        if self._transport is None or self.lost.is_set():
            raise Unavailable("The connection to the document store has just been lost.")
        if len(self._under_way) >= MAX_UNDER_WAY:
            raise Unavailable(
                f"{MAX_UNDER_WAY} writes are already waiting for the document store.",
                retry_after_seconds=1.0,
            )
        answer: asyncio.Future[Done | Failed] = asyncio.get_running_loop().create_future()
        self._under_way[request.number] = answer
        try:
            self._transport.write(message)
            async with asyncio.timeout(answer_seconds):
                return await answer
        except TimeoutError:
            raise Ambiguous(
                f"The document store did not answer a request within {answer_seconds:g} s.",
                hint="Read again and compare.",
            ) from None
        finally:
            del self._under_way[request.number]

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self.connection_lost(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's derive from nothing

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._frames.feed(data):
                reply = read_reply(message)
                if isinstance(reply, Reached):
                    self._reached(reply.sequence)
                    continue
                answer = self._under_way.get(reply.number)
                if answer is not None and not answer.done():
                    answer.set_result(reply)
        except (ValueError, msgspec.DecodeError) as error:
            log.error("store.owner_not_understood", error=str(error))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as the base says
        if self.lost.is_set():
            return
        self.lost.set()
        self._when_lost()
        for answer in self._under_way.values():
            if not answer.done():
                answer.set_exception(
                    Ambiguous(
                        "The document store's owner went away before it answered.",
                        hint="Read again and compare.",
                    )
                )
