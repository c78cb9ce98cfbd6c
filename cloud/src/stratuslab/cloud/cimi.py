"""The operator's commands speak to the cloud as any user does: CIMI over HTTP."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import aiohttp

from stratuslab.core.errors import StratusLabError


class Cimi:
    """A user's session. Use as `async with`."""

    def __init__(self, base: str, user: str, password: str) -> None:
        self.base = base.rstrip("/")
        self._headers = {"Authorization": aiohttp.encode_basic_auth(user, password)}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers, timeout=aiohttp.ClientTimeout(total=30)
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
        """The resource. Raises StratusLabError with the cloud's own words."""
        return await self._request("GET", path)

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What was made."""
        return await self._request("POST", path, body)

    async def text(self, path: str) -> str:
        """A plain text, empty when it is not to be had now."""
        async with self._session.get(self._url(path)) as answer:
            return await answer.text() if answer.status == 200 else ""

    async def collection(self, name: str) -> list[dict[str, Any]]:
        """The items of a collection."""
        body = await self.get(name)
        items: list[dict[str, Any]] = body.get(name, [])
        return items

    def _url(self, path: str) -> str:
        return path if path.startswith("http") else f"{self.base}/{path}"

    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            async with self._session.request(method, self._url(path), json=body) as answer:
                parsed: dict[str, Any] = await answer.json(content_type=None)
                if answer.status >= 400:
                    raise StratusLabError(
                        f"{method} {path}: {parsed.get('statusMessage', answer.status)}"
                    )
                return parsed
        except (aiohttp.ClientError, TimeoutError) as error:
            raise StratusLabError(f"{method} {path} failed: {error or 'no answer'}.") from error
