"""Queries over core NATS: request and reply, errors as `Nats-Service-Error` headers and JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
import nats.errors
import structlog
from nats.aio.msg import Msg
from structlog.contextvars import bound_contextvars

from stratuslab.core.bus.background import background
from stratuslab.core.bus.base import NoResponders
from stratuslab.core.bus.deliveries import trace_of
from stratuslab.core.bus.envelope import headers_for
from stratuslab.core.bus.metrics import ANSWERS, QUERIES
from stratuslab.core.bus.nats.connection import Connection
from stratuslab.core.bus.problems import ERROR_HEADER, error_of, headers_of, problem_of
from stratuslab.core.contracts.messages import Address
from stratuslab.core.errors import (
    InvalidRequest,
    StratusLabError,
    TooLarge,
    TooManyRequests,
    Unavailable,
)

log = structlog.get_logger(__name__)

P = TypeVar("P", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)

MAX_ANSWERS_AT_ONCE = 256
ANSWER_TIMEOUT_SECONDS = 30.0
FINISH_SECONDS = 3.0


class Queries:
    """Asking and answering over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def ask(
        self, address: Address, payload: P, reply: type[R], timeout: float, subject: str
    ) -> R:
        """See Bus.query."""
        try:
            answer = await self._ask(address, payload, reply, timeout, subject)
        except StratusLabError as error:
            QUERIES.labels(error.code).inc()
            raise
        QUERIES.labels("answered").inc()
        return answer

    async def _ask(
        self, address: Address, payload: P, reply: type[R], timeout: float, subject: str
    ) -> R:
        clock = asyncio.get_running_loop()
        deadline = clock.time() + timeout
        await self._connection.ready(timeout)
        try:
            message = await self._connection.client.request(
                subject,
                msgspec.json.encode(payload),
                timeout=max(deadline - clock.time(), 0.001),
                headers=headers_for(address),
            )
        except nats.errors.NoRespondersError:
            raise NoResponders(f"Nobody answers {address.name} at present.") from None
        except nats.errors.MaxPayloadError:
            raise TooLarge(f"The query {address.name} is larger than the bus carries.") from None
        except (nats.errors.Error, TimeoutError) as error:
            raise Unavailable(
                f"The query {address.name} was not answered within {timeout:g} s."
            ) from error
        headers = message.headers or {}
        if ERROR_HEADER in headers:
            raise error_of(headers, message.data)
        try:
            return msgspec.json.decode(message.data, type=reply)
        except msgspec.DecodeError as error:
            raise Unavailable(f"The answer to {address.name} is not understood.") from error

    @asynccontextmanager
    async def answering(
        self,
        address: Address,
        answer: Callable[[P], Awaitable[R]],
        *,
        pattern: str,
        queue: str,
    ) -> AsyncIterator[None]:
        """See Bus.answers. Answers run side by side; on leaving, those begun get a moment."""
        async with background() as answers:

            async def receive(message: Msg) -> None:
                if len(answers.running) >= MAX_ANSWERS_AT_ONCE:
                    busy = TooManyRequests("Too many queries at once.", retry_after_seconds=1)
                    await self._reply_problem(message, busy)
                else:
                    answers.start(self._answer(address, answer, message))

            async with self._connection.subscribed(pattern, receive, queue=queue):
                yield
            if answers.running:
                await asyncio.wait(tuple(answers.running), timeout=FINISH_SECONDS)

    async def _answer(
        self, address: Address, answer: Callable[[P], Awaitable[R]], message: Msg
    ) -> None:
        with bound_contextvars(**trace_of(message.headers or {})):
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                    result = await answer(_payload(address, message.data))
                body = msgspec.json.encode(result)
                if len(body) > self._connection.client.max_payload:
                    raise TooLarge("The answer is larger than the bus carries.")
                await self._reply(message, body, {})
                ANSWERS.labels("answered").inc()
            except TimeoutError:
                late = Unavailable(f"{address.name} took more than {ANSWER_TIMEOUT_SECONDS:g} s.")
                await self._reply_problem(message, late)
            except StratusLabError as error:
                await self._reply_problem(message, error)
            except Exception as error:
                log.exception("bus.answer_failed", address=address.name)
                await self._reply_problem(message, error)

    async def _reply_problem(self, message: Msg, error: Exception) -> None:
        problem = problem_of(error)
        ANSWERS.labels(problem.code).inc()
        await self._reply(message, msgspec.json.encode(problem), headers_of(problem))

    async def _reply(self, message: Msg, body: bytes, headers: dict[str, str]) -> None:
        if not message.reply:
            return
        try:
            await self._connection.client.publish(message.reply, body, headers=headers or None)
        except nats.errors.Error as error:
            log.warning("bus.reply_not_sent", subject=message.subject, reason=str(error))


def _payload(address: Address, data: bytes) -> P:  # type: ignore[type-var]
    assert address.payload is not None
    try:
        return msgspec.json.decode(data, type=address.payload)  # type: ignore[return-value]
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"The query {address.name} is not understood: {error}.") from error
