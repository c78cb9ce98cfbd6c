"""The console log of a machine, asked from the agent of its host."""

from __future__ import annotations

from aiohttp import web

from stratuslab.cimi_api import operations
from stratuslab.cimi_api.handlers.resource import CALLER, Front
from stratuslab.cimi_api.resources import CONSOLE_LOG, Resource
from stratuslab.core.contracts import Machine
from stratuslab.core.contracts.messages import MACHINE_CONSOLE, ConsoleQuery, ConsoleReply
from stratuslab.core.errors import Forbidden, InvalidRequest, TransientError, Unavailable

MAX_BYTES = 262_144
_DEFAULT_BYTES = 65_536
_RETRY_AFTER_SECONDS = 5.0


class ConsoleHandlers:
    """The end of a machine's console log as plain text."""

    def __init__(self, front: Front, resource: Resource[Machine]) -> None:
        self._cloud = front.cloud
        self._resource = resource

    async def read(self, request: web.Request) -> web.Response:
        """GET of the console log."""
        id, caller = request.match_info["id"], request[CALLER]
        stored = await operations.readable(self._cloud, self._resource, caller, id)
        if stored.document.acl.right_of(caller.principals) < self._resource.rights[CONSOLE_LOG]:
            raise Forbidden(
                f"You may see machine {id} but not its console.",
                hint="Ask its owner or an administrator.",
            )
        limit = _limit(request.query.get("bytes"))
        data = await self._ask(stored.document, limit)
        return web.Response(
            text=data[-limit:].decode("utf-8", "replace"),
            content_type="text/plain",
            headers={"X-Content-Type-Options": "nosniff"},
        )

    async def _ask(self, machine: Machine, limit: int) -> bytes:
        host = machine.assignment.host
        if host is None:
            raise Unavailable(
                f"Machine {machine.id} has no host yet, so there is no console.",
                hint="Wait until it has been started.",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            )
        try:
            reply = await self._cloud.bus.query(
                MACHINE_CONSOLE,
                ConsoleQuery(machine.id, limit),
                ConsoleReply,
                timeout=self._cloud.settings.console_timeout_seconds,
                host=host,
            )
        except TransientError as error:
            raise Unavailable(
                f"The host of machine {machine.id} does not answer, so its console cannot be read.",
                hint="Try again; the machine itself may be well.",
                retry_after_seconds=_RETRY_AFTER_SECONDS,
            ) from error
        return reply.data


def _limit(text: str | None) -> int:
    if text is None:
        return _DEFAULT_BYTES
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MAX_BYTES:
        raise InvalidRequest(f"bytes is {text[:50]!r}; it must be 1 to {MAX_BYTES}.")
    return int(text[:9])
