"""A small CIMI client for tests: plain HTTP, as a stranger's program would speak it.

Every create carries an Idempotency-Key and is repeated while the cloud is being hurt, which is
what the cloud asks of its clients.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import aiohttp

TRY_AGAIN = {429, 500, 502, 503, 504}


class CimiClient:
    """One user's view of a cloud. Use `async with client(...)`."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self.base = base.rstrip("/")
        self._images: dict[str, str] = {}

    async def request(
        self, method: str, path: str, *, json: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """One request, no repetition. `path` is below the base URI or absolute."""
        url = path if path.startswith("http") else f"{self.base}/{path}"
        async with self._session.request(method, url, json=json, headers=headers) as response:
            body = await response.json(content_type=None) if response.content_length != 0 else None
            return response.status, body

    async def persist(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        idempotency_key: str | None = None,
        seconds: float = 60.0,
        done: frozenset[int] = frozenset({200, 201, 202}),
    ) -> Any:
        """Repeats a request until it is answered for good. Fails with the last answer."""
        end = time.monotonic() + seconds
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else None
        last: object = None
        while time.monotonic() < end:
            try:
                status, body = await self.request(method, path, json=json, headers=headers)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                last = error
            else:
                if status in done:
                    return body
                last = (status, body)
                assert status in TRY_AGAIN or status == 409, last
            await asyncio.sleep(0.1)
        raise AssertionError(f"{method} {path} was never answered: {last!r}")

    async def create_machine(self, **machine: Any) -> dict[str, Any]:
        """A small machine, STARTED unless told otherwise; the 201 body."""
        template = {
            "initialState": "STARTED",
            "machineConfig": {"cpu": 1, "memory": 131072},
            "machineImage": {"href": await self.image()},
            **machine.pop("machineTemplate", {}),
        }
        created: dict[str, Any] = await self.persist(
            "POST",
            "machines",
            json={"machineTemplate": template, **machine},
            idempotency_key=str(uuid4()),
        )
        return created

    async def image(self, location: str = "simulated:tiny") -> str:
        """The URI of an image with this location, made at the first call."""
        if location not in self._images:
            image = await self.persist(
                "POST",
                "machineImages",
                json={"name": "tiny", "type": "IMAGE", "imageLocation": location},
                idempotency_key=str(uuid4()),
            )
            self._images[location] = image["id"]
        return self._images[location]

    async def machine(self, id: str) -> dict[str, Any] | None:
        """The machine, None when it is gone."""
        body = await self.persist("GET", id, done=frozenset({200, 404}))
        return body if body.get("resourceURI", "").endswith("/Machine") else None

    async def machines(self) -> dict[str, dict[str, Any]]:
        """All machines by id."""
        found: dict[str, dict[str, Any]] = {}
        first = 1
        while True:
            page = await self.persist("GET", f"machines?$first={first}&$last={first + 499}")
            for each in page.get("machines", []):
                found[each["id"]] = each
            first += 500
            if first > page["count"]:
                return found

    async def delete(self, id: str) -> None:
        """Deletes until the cloud has acknowledged it."""
        await self.persist("DELETE", id, done=frozenset({200, 202, 404}))

    async def act(self, id: str, action: str, **parameters: Any) -> None:
        """Asks for an action until the cloud has acknowledged it."""
        await self.persist("POST", f"{id}/{action}", json=parameters, done=frozenset({202}))


@asynccontextmanager
async def client(base: str, user: str, password: str) -> AsyncIterator[CimiClient]:
    """A client with Basic authentication; `base` is the cloud's `…/cimi`."""
    async with aiohttp.ClientSession(
        headers={"Authorization": aiohttp.encode_basic_auth(user, password)},
        timeout=aiohttp.ClientTimeout(total=20),
        connector=aiohttp.TCPConnector(limit=64),
    ) as session:
        yield CimiClient(session, base)
