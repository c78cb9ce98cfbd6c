"""The operator's commands speak to the cloud as any user does: CIMI over HTTP."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from stratuslab.core.errors import PermanentError, Unavailable

TIMEOUT_SECONDS = 30.0
ACTIONS = "http://schemas.dmtf.org/cimi/1/action/"


class Cimi:
    """A user's session. Use as `async with`.

    All calls raise PermanentError with the cloud's own words when it refuses, and Unavailable
    when it cannot be reached or asks to come back.
    """

    def __init__(self, base: str, user: str, password: str) -> None:
        self._base = base.rstrip("/")
        self._headers = {"Authorization": aiohttp.encode_basic_auth(user, password)}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers, timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def get(self, path: str) -> dict[str, Any]:
        """The resource at this path or URI."""
        return await self._request("GET", path)

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What was made, or the answer to an action."""
        return await self._request("POST", path, body)

    async def console(self, machine: str) -> str:
        """The end of a machine's console log; empty while it cannot be had."""
        try:
            async with self._session.get(f"{machine}/consoleLog") as answer:
                return await answer.text() if answer.status == 200 else ""
        except (aiohttp.ClientError, TimeoutError):
            return ""

    async def named(self, collection: str, name: str) -> list[dict[str, Any]]:
        """The items of a collection with this name."""
        return await self.matching(collection, f"name='{name}'")

    async def matching(self, collection: str, filter: str) -> list[dict[str, Any]]:
        """The items of a collection that a filter lets through."""
        body = await self._request("GET", collection, parameters={"$filter": filter})
        items: list[dict[str, Any]] = body.get(collection, [])
        return items

    async def _request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        parameters: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        url = path if path.startswith("http") else f"{self._base}/{path}"
        try:
            async with self._session.request(method, url, json=body, params=parameters) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"{method} {url} failed: {error or 'no answer in time'}.") from error
        try:
            parsed = msgspec.json.decode(content, type=dict[str, Any]) if content else {}
        except msgspec.DecodeError:
            parsed = {}
        if answer.status < 400:
            return parsed
        message = parsed.get("statusMessage") or f"status {answer.status}"
        failure = Unavailable if answer.status in (429, 503, 504) else PermanentError
        raise failure(f"{method} {url}: {message}")
