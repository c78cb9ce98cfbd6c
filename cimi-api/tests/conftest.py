"""A front over the memory store and bus, and users who talk to it over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from stratuslab.cimi_api.app import ROUTES, create_app
from stratuslab.cimi_api.first_start import ensure_first_start
from stratuslab.cimi_api.handlers.routes import Route
from stratuslab.cimi_api.settings import CimiSettings
from stratuslab.core.bus.memory import MemoryBus
from stratuslab.core.contracts import MACHINE, Machine
from stratuslab.core.contracts.machine import GuestAddress
from stratuslab.core.contracts.machine_states import SettledState
from stratuslab.core.security.vault import Vault
from stratuslab.core.store.memory import MemoryStore

HttpClient = TestClient[web.Request, web.Application]


class QuickPasswords:
    """Hashes in microseconds, for tests of everything but the hash."""

    async def hash(self, password: str) -> str:
        return blake2b(password.encode(), digest_size=16).hexdigest()

    async def matches(
        self, password: str, password_hash: str, *, account: str = "", remote: str = ""
    ) -> bool:
        return await self.hash(password) == password_hash


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Any
    text: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.text)


@dataclass
class Someone:
    """A user, or nobody, with a client of the API. Paths are below `/cimi/`, or absolute."""

    http: HttpClient
    name: str | None = None
    password: str = ""
    id: str = ""

    def headers(self) -> dict[str, str]:
        if self.name is None:
            return {}
        text = aiohttp.encode_basic_auth(self.name, self.password)
        return {"Authorization": text}

    async def ask(self, method: str, path: str, **arguments: Any) -> Answer:
        headers = self.headers() | arguments.pop("headers", {})
        url = self.path(path)
        async with self.http.request(method, url, headers=headers, **arguments) as response:
            return Answer(response.status, response.headers, await response.text())

    def path(self, uri: str) -> str:
        if "://" in uri:
            return "/" + uri.split("/", 3)[3]
        return uri if uri.startswith("/") else f"/cimi/{uri}"

    async def get(self, path: str, **arguments: Any) -> Answer:
        return await self.ask("GET", path, **arguments)

    async def post(self, path: str, json: Any = None, **arguments: Any) -> Answer:
        return await self.ask("POST", path, json=json, **arguments)

    async def put(self, path: str, json: Any = None, **arguments: Any) -> Answer:
        return await self.ask("PUT", path, json=json, **arguments)

    async def delete(self, path: str, **arguments: Any) -> Answer:
        return await self.ask("DELETE", path, **arguments)

    async def made(self, path: str, json: Any, **arguments: Any) -> Any:
        """Creates something; its representation."""
        answer = await self.post(path, json, **arguments)
        assert answer.status == 201, answer.text
        return answer.json

    async def machine(self, **machine: Any) -> Any:
        """A small machine of a simulated image, CREATING."""
        template = {
            "machineConfig": {"cpu": 1, "memory": 131072},
            "machineImage": {"imageLocation": "simulated:tiny"},
            **machine.pop("machineTemplate", {}),
        }
        return await self.made("machines", {"machineTemplate": template, **machine})


@dataclass
class Api:
    """The front and what lies behind it."""

    store: MemoryStore
    bus: MemoryBus
    settings: CimiSettings
    app: web.Application
    http: HttpClient
    admin: Someone
    nobody: Someone
    image_folder: Path
    routes: list[Route]
    passwords: QuickPasswords = field(default_factory=QuickPasswords)

    async def user(self, name: str, **account: Any) -> Someone:
        """A new account."""
        password = f"password of {name}"
        made = await self.admin.made("users", {"name": name, "password": password, **account})
        return Someone(self.http, name, password, made["id"].rpartition("/")[2])

    async def settle(
        self,
        machine: Any,
        state: SettledState | None = None,
        *,
        host: str | None = "host-1",
        addresses: list[GuestAddress] | None = None,
    ) -> None:
        """What the agent of the machine's host would write: all is done as wanted."""

        def change(document: Machine) -> None:
            wanted = document.spec.power
            document.assignment.host = host
            document.status.state = state or SettledState(wanted.value)
            document.status.observed_generation = document.generation
            document.status.restarts = document.spec.restarts
            document.status.addresses = addresses or []

        await self.store.update(MACHINE, machine["id"].rpartition("/")[2], change)

    async def stored(self, machine: Any) -> Machine:
        """The document behind a representation."""
        return (await self.store.get(MACHINE, machine["id"].rpartition("/")[2])).document

    async def everything(self) -> dict[str, str]:
        """Revision of every document of every kind: equal means that nothing was written."""
        found: dict[str, str] = {}
        for kind, rows in self.store._rows.items():
            found.update({f"{kind}/{id}": row.rev for id, row in rows.items()})
        return found


MakeApi = Callable[..., Awaitable[Api]]


@pytest.fixture
async def make_api(
    aiohttp_client: Callable[[web.Application], Awaitable[HttpClient]], tmp_path: Path
) -> AsyncIterator[MakeApi]:
    """Makes fronts with other settings."""
    bus = MemoryBus()
    async with bus:

        async def make(store: Any = None, **settings: Any) -> Api:
            store = store if store is not None else MemoryStore()
            folder = tmp_path / "images"
            folder.mkdir(exist_ok=True)
            chosen = CimiSettings(
                **{
                    "admin_password_file": str(tmp_path / "admin-password"),
                    "image_folders": (str(folder),),
                    **settings,
                }
            )
            passwords = QuickPasswords()
            file = Path(chosen.admin_password_file)
            await ensure_first_start(store, passwords, file)
            app = create_app(store, bus, chosen, passwords=passwords, vault=Vault(bytes(32)))
            http = await aiohttp_client(app)
            admin = Someone(http, "admin", file.read_text().strip())
            return Api(store, bus, chosen, app, http, admin, Someone(http), folder, app[ROUTES])

        yield make


@pytest.fixture
async def api(make_api: MakeApi) -> Api:
    """A front with a new cloud behind it."""
    return await make_api()
