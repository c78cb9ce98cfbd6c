"""Buses to test: in memory, and on a nats-server of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from stratuslab.core.bus.base import Bus
from stratuslab.core.bus.credentials import Credentials
from stratuslab.core.bus.deliveries import DeliveryLimits
from stratuslab.core.bus.memory import MemoryBus
from stratuslab.core.bus.nats import NatsBus
from stratuslab.core.bus.server import NatsServer
from stratuslab.core.bus.server_config import BusUser, Role, new_user

IMPATIENT = DeliveryLimits(max_deliveries=3, backoff_seconds=(0.02, 0.05), ack_wait_seconds=1.5)

OpenNats = Callable[..., NatsBus]


@pytest.fixture
def users() -> dict[str, BusUser]:
    """Two services and somebody who only listens."""
    return {
        "vm": new_user("vm"),
        "cimi": new_user("cimi"),
        "watcher": new_user("watcher", Role.OBSERVER),
    }


@pytest.fixture
async def server(tmp_path: Path, users: dict[str, BusUser]) -> AsyncIterator[NatsServer]:
    """A nats-server of this test alone; it starts in 20 ms."""
    async with running(tmp_path, users) as server:
        yield server


@pytest.fixture
def open_nats(server: NatsServer, users: dict[str, BusUser]) -> OpenNats:
    """A NatsBus as one of the users: `async with open_nats("vm") as bus`."""
    return partial(nats_bus, server.url, users)


@pytest.fixture(params=["memory", "nats"])
async def two_buses(
    request: pytest.FixtureRequest, tmp_path: Path, users: dict[str, BusUser]
) -> AsyncIterator[tuple[Bus, Bus]]:
    """Two processes' views of one bus, connected."""
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            hub = MemoryBus.hub()
            yield (
                await stack.enter_async_context(MemoryBus(hub, deliveries=IMPATIENT)),
                await stack.enter_async_context(MemoryBus(hub, deliveries=IMPATIENT)),
            )
        else:
            server = await stack.enter_async_context(running(tmp_path, users))
            one = await stack.enter_async_context(nats_bus(server.url, users, "vm"))
            other = await stack.enter_async_context(nats_bus(server.url, users, "cimi"))
            await one.ready(5)
            await other.ready(5)
            yield one, other


@asynccontextmanager
async def running(folder: Path, users: dict[str, BusUser]) -> AsyncIterator[NatsServer]:
    """A nats-server; in the end it is killed, which is quicker than stopping it in order."""
    server = NatsServer(folder / "nats", users=list(users.values()))
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


def nats_bus(
    url: str, users: dict[str, BusUser], user: str = "vm", *, password: str | None = None
) -> NatsBus:
    """A bus as this user; `password` replaces the right one."""
    credentials = Credentials(users[user].name, password or users[user].password)
    return NatsBus([url], name=user, credentials=lambda: credentials, deliveries=IMPATIENT)
