"""The shim hurts as it says, seen from real clients."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from eventually import eventually
from faults.bus_shim import BusShim

from stratuslab.core.bus.base import Delivery
from stratuslab.core.bus.credentials import Credentials
from stratuslab.core.bus.nats import NatsBus
from stratuslab.core.bus.server import NatsServer
from stratuslab.core.bus.server_config import new_user
from stratuslab.core.contracts.messages import (
    HOST_FREED,
    HOST_STATE,
    MACHINE_CONSOLE,
    ConsoleQuery,
    ConsoleReply,
    HostStateChanged,
    event,
)
from stratuslab.core.errors import Unavailable


@asynccontextmanager
async def shim_and_buses(folder: Path) -> AsyncIterator[tuple[BusShim, NatsBus, NatsBus]]:
    """A bus that talks to the server directly, and one behind the shim."""
    user = new_user("vm")

    def bus(url: str) -> NatsBus:
        return NatsBus([url], name="vm", credentials=lambda: Credentials("vm", user.password))

    async with (
        NatsServer(folder, users=[user]) as server,
        BusShim(server.url, seed=7) as shim,
        bus(server.url) as direct,
        bus(shim.url) as behind,
    ):
        await direct.ready(5)
        await behind.ready(5)
        yield shim, direct, behind


async def test_dropped_messages_do_not_arrive_and_the_connection_lives(tmp_path: Path) -> None:
    async def answer(query: ConsoleQuery) -> ConsoleReply:
        return ConsoleReply(data=b"")

    async with (
        shim_and_buses(tmp_path) as (shim, direct, behind),
        behind.hints(HOST_FREED) as hints,
        direct.answers(MACHINE_CONSOLE, answer),
    ):
        shim.drop_everything()
        direct.hint(HOST_FREED, host="lost")
        with pytest.raises(Unavailable):
            await behind.query(
                MACHINE_CONSOLE, ConsoleQuery(id="m"), ConsoleReply, timeout=0.2, host="h"
            )
        shim.deliver()
        direct.hint(HOST_FREED, host="seen")
        assert (await asyncio.wait_for(anext(hints), 5)).tokens == ("seen",)
        assert shim.counts["dropped"] >= 2
        assert shim.counts["connections"] == 1


async def test_messages_come_several_times_in_another_order(tmp_path: Path) -> None:
    seen: list[str] = []
    handled: list[str] = []

    async def consumer(delivery: Delivery) -> None:
        handled.append(delivery.id)

    async with (
        shim_and_buses(tmp_path) as (shim, direct, behind),
        behind.hints(HOST_FREED) as hints,
        behind.consume("test", (HOST_STATE,), consumer),
    ):
        shim.multiply(copies=3, within_seconds=0.1)
        sent = [f"node-{number}" for number in range(50)]
        for host in sent:
            direct.hint(HOST_FREED, host=host)
        async for hint in hints:
            seen.append(hint.tokens[0])
            if len(seen) == 150:
                break
        assert Counter(seen) == dict.fromkeys(sent, 3)
        assert seen != sorted(seen, key=sent.index)
        for number in range(5):
            change = HostStateChanged(id="h", state="UP")
            await direct.publish(f"e-{number}", event(HOST_STATE, "host/h", change))
        await eventually(lambda: len(handled) == 15)
        assert Counter(handled) == {f"e-{number}": 3 for number in range(5)}


async def test_a_cut_is_noticed_and_mended(tmp_path: Path) -> None:
    async with shim_and_buses(tmp_path) as (shim, _, behind):
        await shim.cut()
        await eventually(lambda: not behind.connected)
        shim.deliver()
        await eventually(lambda: behind.connected)
        assert shim.counts["connections"] == 2
