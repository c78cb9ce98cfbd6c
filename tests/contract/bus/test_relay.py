"""The relay loses nothing and repeats nothing that anybody sees, whatever is killed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from eventually import eventually
from structlog.testing import capture_logs

from stratuslab.core.bus.base import Bus, Delivery
from stratuslab.core.bus.nats import NatsBus
from stratuslab.core.bus.relay import relay
from stratuslab.core.bus.server import NatsServer
from stratuslab.core.contracts.host import Host
from stratuslab.core.contracts.messages import HOST_STATE, Event, HostStateChanged, event
from stratuslab.core.documents.frame import Acl, now
from stratuslab.core.store.base import Store
from stratuslab.core.store.memory import MemoryStore

OpenNats = Callable[..., NatsBus]


class Seen:
    """A consumer that keeps the hosts it is told of, in order."""

    def __init__(self) -> None:
        self.hosts: list[str] = []

    async def __call__(self, delivery: Delivery) -> None:
        self.hosts.append(delivery.event.data["id"])


def came_up(host: str) -> Event:
    return event(HOST_STATE, f"host/{host}", HostStateChanged(id=host, state="UP"))


async def add_host(store: Store, host: str, *events: Event) -> None:
    document = Host(id=host, name=host, created=now(), acl=Acl(owner="role/ADMIN"))
    await store.insert(document, events=events or [came_up(host)])


@asynccontextmanager
async def relaying(store: Store, bus: Bus) -> AsyncIterator[None]:
    """A relay that is killed at the end."""
    task = asyncio.create_task(relay(store, bus))
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_events_arrive_in_the_order_of_their_writes(two_buses: tuple[Bus, Bus]) -> None:
    one, other = two_buses
    seen = Seen()
    hosts = [f"host-{number}" for number in range(300)]
    async with MemoryStore() as store, other.consume("test", (HOST_STATE,), seen):
        for host in hosts[:200]:
            await add_host(store, host)
        async with relaying(store, one):
            await add_host(store, "pair", came_up("pair-1"), came_up("pair-2"))
            for host in hosts[200:]:
                await add_host(store, host)
            expected = [*hosts[:200], "pair-1", "pair-2", *hosts[200:]]
            await eventually(lambda: len(seen.hosts) == len(expected))
            assert seen.hosts == expected
            await eventually(lambda: emptied(store))


async def emptied(store: Store) -> bool:
    return await store.outbox() == []


async def test_a_new_event_is_told_at_once(
    two_buses: tuple[Bus, Bus], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two_buses
    seen = Seen()
    async with (
        MemoryStore() as store,
        other.consume("test", (HOST_STATE,), seen),
        relaying(store, one),
    ):
        await add_host(store, "first")
        await eventually(lambda: seen.hosts == ["first"])
        monkeypatch.setattr("stratuslab.core.bus.relay.POLL_SECONDS", 60)
        for host in ("second", "third", "fourth"):
            await eventually(lambda: emptied(store))
            await add_host(store, host)
            await eventually(lambda host=host: seen.hosts[-1] == host)  # type: ignore[misc]


@pytest.mark.parametrize("seed", [1, 2])
async def test_500_events_are_seen_once_each_although_relays_are_killed(
    open_nats: OpenNats, seed: int
) -> None:
    chance = random.Random(seed)
    seen = Seen()
    hosts = [f"host-{number}" for number in range(500)]

    async def write(store: Store) -> None:
        for host in hosts:
            await add_host(store, host)
            if chance.random() < 0.1:
                await asyncio.sleep(0.005)

    async with (
        MemoryStore() as store,
        open_nats("cimi") as watching,
        watching.consume("test", (HOST_STATE,), seen),
    ):
        writing = asyncio.create_task(write(store))
        while not writing.done() or not await emptied(store):
            async with open_nats("vm") as bus, relaying(store, bus), relaying(store, bus):
                await bus.ready(5)
                await asyncio.sleep(chance.uniform(0, 0.08))
        await eventually(lambda: len(seen.hosts) >= 500)
        await asyncio.sleep(0.1)
    assert seen.hosts == hosts


async def test_events_wait_while_the_server_is_down(
    server: NatsServer, open_nats: OpenNats
) -> None:
    seen = Seen()
    hosts = [f"host-{number}" for number in range(50)]
    async with (
        MemoryStore() as store,
        open_nats("vm") as bus,
        bus.consume("test", (HOST_STATE,), seen),
        relaying(store, bus),
    ):
        await bus.ready(5)
        for number, host in enumerate(hosts):
            await add_host(store, host)
            if number in (10, 30):
                await server.kill()
            if number in (20, 40):
                await server.start()
            await asyncio.sleep(0.01)
        await eventually(lambda: set(seen.hosts) == set(hosts))


async def test_each_outage_is_told_once(
    server: NatsServer, open_nats: OpenNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stratuslab.core.bus.nats.publisher.PUBLISH_SECONDS", 0.1)
    seen = Seen()
    async with (
        MemoryStore() as store,
        open_nats("vm") as bus,
        bus.consume("test", (HOST_STATE,), seen),
        relaying(store, bus),
    ):
        await bus.ready(5)
        await server.kill()
        with capture_logs() as logs:
            await add_host(store, "host-1")
            await asyncio.sleep(2)
            await server.start()
            await eventually(lambda: seen.hosts == ["host-1"])
            await eventually(lambda: emptied(store))
            await eventually(lambda: any(each["event"] == "relay.resumed" for each in logs))
    told = [each["event"] for each in logs if each["event"].startswith("relay.")]
    assert told == ["relay.waiting", "relay.resumed"]


async def test_an_event_that_can_never_be_stored_is_told_and_passed_over(
    two_buses: tuple[Bus, Bus],
) -> None:
    one, other = two_buses
    seen = Seen()
    nonsense = Event(address="no.such.event", subject="host/x", data={})
    async with MemoryStore() as store, other.consume("test", (HOST_STATE,), seen):
        await add_host(store, "host-1")
        await add_host(store, "host-2", nonsense)
        await add_host(store, "host-3")
        with capture_logs() as logs:
            async with relaying(store, one):
                await eventually(lambda: seen.hosts == ["host-1", "host-3"])
                await eventually(lambda: emptied(store))
    assert [each["event"] for each in logs if each["event"].startswith("relay.")] == [
        "relay.event_refused"
    ]
