"""What only a real server can do to a bus: die, hang, refuse, lose its memory."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import nats
import nats.errors
import pytest
from eventually import eventually
from nats.aio.client import Client
from structlog.testing import capture_logs

from stratuslab.core.bus.base import Delivery
from stratuslab.core.bus.credentials import Credentials
from stratuslab.core.bus.deliveries import DeliveryLimits
from stratuslab.core.bus.hint_queue import MAX_WAITING
from stratuslab.core.bus.nats import NatsBus, StreamLimits, connection
from stratuslab.core.bus.nats import queries as queries_module
from stratuslab.core.bus.server import NatsServer, free_port, prepare
from stratuslab.core.bus.server_config import PERMISSIONS, BusUser, Role, new_user
from stratuslab.core.contracts.messages import (
    HOST_FREED,
    HOST_STATE,
    MACHINE_CONSOLE,
    ConsoleQuery,
    ConsoleReply,
    Event,
    HostStateChanged,
    event,
)
from stratuslab.core.errors import ConfigurationError, PermanentError, Unavailable

Users = dict[str, BusUser]
OpenNats = Callable[..., NatsBus]


def host_up() -> Event:
    return event(HOST_STATE, "host/node-1", HostStateChanged(id="node-1", state="UP"))


async def publish_surely(bus: NatsBus, id: str) -> None:
    """What the relay does: until it is acknowledged, always under the same id."""
    while True:
        with suppress(Unavailable):
            await bus.publish(id, host_up())
            return


async def nobody(delivery: Delivery) -> None:
    raise AssertionError(f"nothing should be delivered, but {delivery}")


# -- the server is down


async def test_a_service_starts_and_works_while_the_server_is_down(
    tmp_path: Path, users: Users
) -> None:
    port = free_port()
    credentials = Credentials("vm", users["vm"].password)
    bus = NatsBus([f"nats://127.0.0.1:{port}"], name="vm", credentials=lambda: credentials)
    seen: list[str] = []

    async def listen() -> None:
        async with bus.hints(HOST_FREED) as hints:
            async for hint in hints:
                seen.append(hint.tokens[0])

    async def consumer(delivery: Delivery) -> None:
        seen.append(delivery.id)

    with capture_logs() as logs:
        begun = time.monotonic()
        async with bus, bus.consume("test", (HOST_STATE,), consumer):
            listening = asyncio.create_task(listen())
            with pytest.raises(Unavailable, match="cannot be reached"):
                await bus.query(
                    MACHINE_CONSOLE, ConsoleQuery(id="m"), ConsoleReply, timeout=0.1, host="h"
                )
            bus.hint(HOST_FREED, host="node-1")
            assert not bus.connected
            assert time.monotonic() - begun < 1
            async with NatsServer(tmp_path, users=list(users.values()), port=port):
                await bus.ready(5)
                await bus.publish("e-1", host_up())
                await eventually(lambda: "e-1" in seen)

                async def hinted() -> bool:
                    bus.hint(HOST_FREED, host="node-2")
                    return "node-2" in seen

                await eventually(hinted)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    told = [each["event"] for each in logs if each["log_level"] in ("warning", "error")]
    assert told.count("bus.unreachable") == 1


async def test_everything_goes_on_after_the_server_was_killed(
    server: NatsServer, open_nats: OpenNats
) -> None:
    handled: set[str] = set()
    hinted: set[str] = set()
    sent = [f"e-{number}" for number in range(120)]

    async def consumer(delivery: Delivery) -> None:
        handled.add(delivery.id)

    async def listen(bus: NatsBus) -> None:
        async with bus.hints(HOST_FREED) as hints:
            async for hint in hints:
                hinted.add(hint.tokens[0])

    async def kill_now_and_then() -> None:
        for _ in range(3):
            await asyncio.sleep(0.15)
            await server.restart()

    async with open_nats("vm") as one, open_nats("cimi") as other:
        await one.ready(5)
        await other.ready(5)
        async with other.consume("test", (HOST_STATE,), consumer):
            listening = asyncio.create_task(listen(other))
            killing = asyncio.create_task(kill_now_and_then())
            for id in sent:
                await publish_surely(one, id)
            await killing
            await eventually(lambda: handled == set(sent), seconds=5)

            async def hint_arrives() -> bool:
                one.hint(HOST_FREED, host="node-1")
                return "node-1" in hinted

            await eventually(hint_arrives)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def test_an_idle_consumer_gets_the_next_event_soon_after_a_restart(
    server: NatsServer, open_nats: OpenNats
) -> None:
    arrived = asyncio.Event()

    async def consumer(delivery: Delivery) -> None:
        arrived.set()

    async with open_nats("vm") as bus:
        await bus.ready(5)
        async with bus.consume("idle", (HOST_STATE,), consumer):
            await bus.publish("e-1", host_up())
            await asyncio.wait_for(arrived.wait(), 5)
            arrived.clear()
            await asyncio.sleep(0.1)  # it asks for the next one
            await server.restart()
            await eventually(lambda: bus.connected)
            await publish_surely(bus, "e-2")
            await asyncio.wait_for(arrived.wait(), 2)  # a fetch would sit out its 5 s


async def test_each_outage_is_told_once(server: NatsServer, open_nats: OpenNats) -> None:
    async with open_nats("vm") as bus:
        await bus.ready(5)
        await bus.ensure_streams()
        with capture_logs() as logs:
            await server.kill()
            await eventually(lambda: not bus.connected)
            await asyncio.sleep(1.5)  # several attempts to reconnect
            await server.start()
            await eventually(lambda: bus.connected)
    told = [each["event"] for each in logs]
    assert told == ["bus.disconnected", "bus.connected"]


async def test_a_server_that_lost_its_memory_gets_its_streams_back(
    server: NatsServer, open_nats: OpenNats
) -> None:
    handled: list[str] = []

    async def consumer(delivery: Delivery) -> None:
        handled.append(delivery.id)

    async with open_nats("vm") as bus, bus.consume("test", (HOST_STATE,), consumer):
        await bus.publish("e-1", host_up())
        await eventually(lambda: handled == ["e-1"])
        await server.kill()
        shutil.rmtree(server.folder / "jetstream")
        await server.start()
        await publish_surely(bus, "e-2")
        await eventually(lambda: handled == ["e-1", "e-2"])


# -- the server hangs


@pytest.fixture
def impatient_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog looks every 0.1 s and waits 0.3 s."""
    monkeypatch.setattr(connection, "WATCHDOG_SECONDS", 0.1)
    monkeypatch.setattr(connection, "ECHO_TIMEOUT_SECONDS", 0.3)


@asynccontextmanager
async def stopped(server: NatsServer, *, at_once: bool = True) -> AsyncIterator[Callable[[], None]]:
    """The server's process is stopped: connections live, nobody answers."""
    stop = partial(os.kill, server.pid, signal.SIGSTOP)
    if at_once:
        stop()
    try:
        yield stop
    finally:
        os.kill(server.pid, signal.SIGCONT)


@pytest.mark.usefixtures("impatient_watchdog")
async def test_a_silent_server_is_noticed_and_left(server: NatsServer, open_nats: OpenNats) -> None:
    async with open_nats("vm") as bus, bus.hints(HOST_FREED) as hints:
        await bus.ready(5)
        async with stopped(server):
            # More than the socket takes: closing politely would wait for it to be sent.
            for number in range(20_000):
                bus.hint(HOST_FREED, host=f"node-{number}")
            await eventually(lambda: not bus.connected, seconds=3)
        await eventually(lambda: bus.connected)

        async def hint_arrives() -> bool:
            bus.hint(HOST_FREED, host="after")
            return (await anext(hints)).tokens == ("after",)

        await eventually(hint_arrives, every_seconds=0)


@pytest.mark.parametrize("unsent", [0, 9000])
async def test_leaving_takes_no_longer_than_three_seconds_although_the_server_hangs(
    server: NatsServer, open_nats: OpenNats, unsent: int
) -> None:
    async with stopped(server, at_once=False) as stop:
        async with open_nats("vm") as bus, bus.consume("test", (HOST_STATE,), nobody):
            await bus.ready(5)
            await asyncio.sleep(0.1)
            stop()
            for batch in range(3):
                for number in range(unsent):
                    bus.hint(HOST_FREED, host=f"node-{'x' * 100}-{batch}-{number}")
                await asyncio.sleep(0.1)
            begun = time.monotonic()
        # One second more for the consumer, which unsubscribes first.
        assert time.monotonic() - begun < 4.2


async def test_leaving_is_quick_with_idle_subscriptions(open_nats: OpenNats) -> None:
    async def answer(query: ConsoleQuery) -> ConsoleReply:
        raise AssertionError

    async with open_nats("vm") as bus:
        await bus.ready(5)
        async with (
            bus.consume("idle", (HOST_STATE,), nobody),
            bus.hints(HOST_FREED),
            bus.answers(MACHINE_CONSOLE, answer),
        ):
            await asyncio.sleep(0.1)
            begun = time.monotonic()
    assert time.monotonic() - begun < 0.5


async def test_nothing_is_left_behind(server: NatsServer, open_nats: OpenNats) -> None:
    def held() -> tuple[int, int]:
        return len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir()))

    async def once(password: str | None = None) -> None:
        with suppress(ConfigurationError):
            async with (
                open_nats("vm", password=password) as bus,
                bus.hints(HOST_FREED),
                bus.consume("idle", (HOST_STATE,), nobody),
            ):
                await bus.ready(1)
                await server.restart()
                await eventually(lambda: bus.connected)

    before = held()
    await once()
    with suppress(Unavailable):
        await once(password="wrong")
    await eventually(lambda: held() == before)


async def test_hints_given_just_before_leaving_still_go_out(open_nats: OpenNats) -> None:
    async with open_nats("cimi") as other:
        await other.ready(5)
        async with other.hints(HOST_FREED) as hints:
            async with open_nats("vm") as bus:
                await bus.ready(5)
                for number in range(200):
                    bus.hint(HOST_FREED, host=f"node-{number}")
            for number in range(200):
                hint = await asyncio.wait_for(anext(hints), 5)
                assert hint.tokens == (f"node-{number}",)


async def test_an_answer_under_way_is_finished_on_leaving(
    open_nats: OpenNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries_module, "FINISH_SECONDS", 0.5)
    begun = asyncio.Event()

    async def answer(query: ConsoleQuery) -> ConsoleReply:
        begun.set()
        await asyncio.sleep(0.1 if query.id == "quick" else 60)
        return ConsoleReply(data=b"done")

    async with open_nats("vm") as bus, open_nats("cimi") as other:
        await other.ready(5)
        for id, outcome in (("quick", ConsoleReply(data=b"done")), ("stuck", None)):
            begun.clear()
            await bus.ready(5)
            async with bus.answers(MACHINE_CONSOLE, answer):
                asking = asyncio.create_task(
                    other.query(
                        MACHINE_CONSOLE, ConsoleQuery(id=id), ConsoleReply, timeout=1, host="h"
                    )
                )
                await begun.wait()
            if outcome is not None:
                assert await asking == outcome
            else:
                with pytest.raises(Unavailable):
                    await asking


# -- the server refuses


async def test_wrong_credentials_end_the_bus_with_a_clear_error(open_nats: OpenNats) -> None:
    with pytest.raises(ConfigurationError) as caught:
        async with open_nats("vm", password="wrong"):
            await asyncio.sleep(30)
    assert "refuses user 'vm'" in caught.value.message
    assert "credentials file" in caught.value.hint
    assert "wrong" not in str(caught.value)


async def test_a_user_taken_away_is_told_and_tried_again(
    server: NatsServer, open_nats: OpenNats, users: Users
) -> None:
    async with open_nats("vm") as bus:
        await bus.ready(5)
        with capture_logs() as logs:
            prepare(server.folder, [users["cimi"]], port=server.port)
            os.kill(server.pid, signal.SIGHUP)
            await eventually(
                lambda: any(each["event"] == "bus.credentials_refused" for each in logs)
            )
        prepare(server.folder, list(users.values()), port=server.port)
        os.kill(server.pid, signal.SIGHUP)
        await eventually(lambda: bus.connected)


async def test_a_connection_closed_for_good_ends_the_bus() -> None:
    """Some errors make nats-py give up: the service has to end, to be started again."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"version":"2.15.1","headers":true,"max_payload":1048576}\r\n')
        while (line := await reader.readline()) and not line.startswith(b"SUB"):
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
        writer.write(b"-ERR 'User Authentication Expired'\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as fake:
        port = fake.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable, match=r"closed for good.*expired"):
            async with NatsBus([f"nats://127.0.0.1:{port}"], name="vm"):
                await asyncio.sleep(30)


async def test_a_changed_password_is_read_at_the_next_connection(
    server: NatsServer, users: Users
) -> None:
    password = users["vm"].password
    bus = NatsBus([server.url], name="vm", credentials=lambda: Credentials("vm", password))
    async with bus:
        await bus.ready(5)
        await server.kill()
        changed = new_user("vm")
        server.users = (changed,)
        password = changed.password
        await eventually(lambda: not bus.connected)
        await server.start()
        await eventually(lambda: bus.connected)


FORBIDDEN = [
    (Role.SERVICE, "publish", "$SYS.REQ.SERVER.PING"),
    (Role.SERVICE, "publish", "elsewhere"),
    (Role.SERVICE, "publish", "_INBOX_cimi.x"),
    (Role.SERVICE, "subscribe", ">"),
    (Role.SERVICE, "subscribe", "_INBOX_cimi.>"),
    (Role.SERVICE, "subscribe", "_INBOX.>"),
    (Role.SERVICE, "subscribe", "$JS.ACK.>"),
    (Role.OBSERVER, "publish", "sl.vm.v1.evt.host.state.node-1"),
    (Role.OBSERVER, "publish", "sl.vm.v1.hint.host.freed.node-1"),
    (Role.OBSERVER, "publish", "$JS.API.STREAM.PURGE.EVT"),
    (Role.OBSERVER, "subscribe", "sl.>"),
    (Role.OBSERVER, "subscribe", "sl.*.v1.qry.>"),
    (Role.OBSERVER, "subscribe", "_INBOX_vm.>"),
]


def test_every_role_has_forbidden_subjects_tested() -> None:
    assert {role for role, _, _ in FORBIDDEN} == set(PERMISSIONS)


@pytest.mark.parametrize(("role", "what", "subject"), FORBIDDEN)
async def test_forbidden_subjects_are_denied(
    server: NatsServer, users: Users, role: Role, what: str, subject: str
) -> None:
    user = users["vm"] if role is Role.SERVICE else users["watcher"]
    denied = asyncio.Event()

    async def on_error(error: Exception) -> None:
        if f"permissions violation for {what[:7]}" in str(error).lower():
            denied.set()

    client = await nats.connect(
        server.url, user=user.name, password=user.password, error_cb=on_error
    )
    if what == "publish":
        await client.publish(subject, b"")
    else:
        await client.subscribe(subject)
    await asyncio.wait_for(denied.wait(), 5)
    await client.close()


async def test_an_observer_sees_events(
    server: NatsServer, open_nats: OpenNats, users: Users
) -> None:
    watcher = users["watcher"]
    client = await nats.connect(server.url, user=watcher.name, password=watcher.password)
    events = await client.subscribe("sl.*.v1.evt.>")
    await client.flush()
    async with open_nats("vm") as bus:
        await bus.publish("e-1", host_up())
    message = await events.next_msg(timeout=5)
    assert message.header["ce-type"] == "eu.stratuslab.vm.host.state.v1"
    await client.close()


@pytest.mark.parametrize("user", [{}, {"user": "nobody", "password": "guess"}])
async def test_strangers_do_not_get_in(server: NatsServer, user: dict[str, str]) -> None:
    async def quiet(error: Exception) -> None:
        pass

    client = Client()
    with pytest.raises(nats.errors.Error, match="Authorization"):
        await client.connect(server.url, allow_reconnect=False, error_cb=quiet, **user)
    await client.close()


async def test_a_denied_permission_is_told(server: NatsServer, users: Users) -> None:
    watcher = users["watcher"]
    bus = NatsBus(
        [server.url],
        name="watcher",
        credentials=lambda: Credentials(watcher.name, watcher.password),
    )
    with capture_logs() as logs:
        async with bus:
            bus.hint(HOST_FREED, host="node-1")
            await eventually(lambda: any(each["event"] == "bus.permission_denied" for each in logs))


# -- floods, slowness, poison


async def test_a_slow_listener_loses_the_oldest_hints_only(open_nats: OpenNats) -> None:
    async with open_nats("vm") as one, open_nats("cimi") as other:
        await one.ready(5)
        await other.ready(5)
        async with other.hints(HOST_FREED) as hints:
            many = MAX_WAITING + 500
            for number in range(many):
                one.hint(HOST_FREED, host=f"node-{number}")
                if number % 1000 == 0:
                    await asyncio.sleep(0.02)
            one.hint(HOST_FREED, host="last")
            seen: list[str] = []
            while not seen or seen[-1] != "last":
                if not seen:
                    await eventually(lambda: hints.dropped >= 501)  # type: ignore[attr-defined]
                seen.append((await asyncio.wait_for(anext(hints), 5)).tokens[0])
    assert len(seen) == MAX_WAITING
    assert seen[-2] == f"node-{many - 1}"


async def test_hints_that_wait_for_the_server_are_merged_and_bounded(
    tmp_path: Path, users: Users
) -> None:
    port = free_port()
    credentials = Credentials("vm", users["vm"].password)
    bus = NatsBus([f"nats://127.0.0.1:{port}"], name="vm", credentials=lambda: credentials)
    async with bus:
        for _ in range(3):
            for number in range(MAX_WAITING + 10):
                bus.hint(HOST_FREED, host=f"node-{number}")
        async with NatsServer(tmp_path, users=list(users.values()), port=port) as server:
            client = await nats.connect(server.url, user="cimi", password=users["cimi"].password)
            subscription = await client.subscribe("sl.vm.v1.hint.host.freed.*")
            await client.flush()
            await bus.ready(5)
            await eventually(lambda: subscription.pending_msgs >= MAX_WAITING)
            await asyncio.sleep(0.05)
            assert subscription.pending_msgs == MAX_WAITING
            await client.close()


async def test_a_handler_that_takes_long_keeps_its_event(server: NatsServer, users: Users) -> None:
    limits = DeliveryLimits(ack_wait_seconds=0.4)
    credentials = Credentials("vm", users["vm"].password)
    bus = NatsBus([server.url], name="vm", credentials=lambda: credentials, deliveries=limits)
    handled: list[int] = []

    async def consumer(delivery: Delivery) -> None:
        await asyncio.sleep(1.2)
        handled.append(delivery.deliveries)

    async with (
        bus,
        bus.consume("slow", (HOST_STATE,), consumer),
        bus.consume("slow", (HOST_STATE,), consumer),
    ):
        await bus.publish("e-1", host_up())
        await eventually(lambda: handled)
        await asyncio.sleep(0.6)
    assert handled == [1]


async def test_an_event_that_kills_its_process_each_time_becomes_a_dead_letter(
    server: NatsServer, users: Users
) -> None:
    """The deaths are played by a client that takes the event and never answers."""
    limits = DeliveryLimits(max_deliveries=2, ack_wait_seconds=0.3)
    vm = users["vm"]
    bus = NatsBus(
        [server.url],
        name="vm",
        credentials=lambda: Credentials("vm", vm.password),
        deliveries=limits,
    )
    async with bus:
        await bus.ready(5)
        async with bus.consume("deadly", (HOST_STATE,), nobody):
            await asyncio.sleep(0.1)
        await bus.publish("e-1", host_up())
        mortal = await nats.connect(
            server.url, user="vm", password=vm.password, inbox_prefix="_INBOX_vm"
        )
        fetch = await mortal.jetstream().pull_subscribe_bind("deadly", "EVT")
        for _ in range(limits.max_deliveries):
            await fetch.fetch(1, timeout=3)
        await mortal.close()
        async with bus.consume("deadly", (HOST_STATE,), nobody):
            await eventually(bus.dead_letters)
        [(_, letter)] = await bus.dead_letters()
        assert "process" in letter.reason
        assert letter.deliveries == limits.max_deliveries + 1


async def test_a_message_that_is_no_event_becomes_a_dead_letter(
    server: NatsServer, open_nats: OpenNats, users: Users
) -> None:
    handled: list[str] = []

    async def consumer(delivery: Delivery) -> None:
        handled.append(delivery.id)

    async with open_nats("cimi") as bus, bus.consume("strict", (HOST_STATE,), consumer):
        await bus.publish("e-1", host_up())
        stranger = await nats.connect(server.url, user="vm", password=users["vm"].password)
        await stranger.publish("sl.vm.v1.evt.host.state.node-1", b"\xff not an event")
        await stranger.close()
        await eventually(bus.dead_letters)
        await bus.publish("e-2", host_up())
        await eventually(lambda: handled == ["e-1", "e-2"])
        [(sequence, letter)] = await bus.dead_letters()
        assert letter.data == b"\xff not an event"
        await bus.discard(sequence)


async def test_an_event_too_large_for_a_letter_can_still_be_replayed(open_nats: OpenNats) -> None:
    """Base64 makes a letter a third larger than its event."""
    large = event(HOST_STATE, "host/node-1", HostStateChanged(id="node-1", state="x" * 900_000))
    delivered: list[Event] = []

    async def consumer(delivery: Delivery) -> None:
        delivered.append(delivery.event)
        if len(delivered) == 1:
            raise PermanentError("It is large.")

    async with open_nats("vm") as bus, bus.consume("test", (HOST_STATE,), consumer):
        await bus.publish("e-1", large)
        [(sequence, letter)] = await eventually(bus.dead_letters)  # type: ignore[misc]
        assert letter.data == b""
        await bus.replay(sequence)
        await eventually(lambda: delivered == [large, large])
        assert await bus.dead_letters() == []


async def test_an_event_larger_than_the_bus_carries_is_refused(open_nats: OpenNats) -> None:
    large = HostStateChanged(id="node-1", state="x" * 1_200_000)
    async with open_nats("vm") as bus:
        with pytest.raises(PermanentError, match="larger than"):
            await bus.publish("e-1", event(HOST_STATE, "host/node-1", large))


async def test_an_answer_larger_than_the_bus_carries_is_an_error(open_nats: OpenNats) -> None:
    async def answer(query: ConsoleQuery) -> ConsoleReply:
        return ConsoleReply(data=bytes(1_000_000))

    async with open_nats("vm") as bus:
        await bus.ready(5)
        async with bus.answers(MACHINE_CONSOLE, answer):
            with pytest.raises(Exception, match="larger than"):
                await bus.query(
                    MACHINE_CONSOLE, ConsoleQuery(id="m"), ConsoleReply, timeout=5, host="h"
                )


# -- streams


async def test_streams_are_made_once_and_changed_when_their_limits_change(
    server: NatsServer, users: Users
) -> None:
    credentials = Credentials("vm", users["vm"].password)

    async def config(limits: StreamLimits) -> dict[str, tuple[object, ...]]:
        bus = NatsBus([server.url], name="vm", credentials=lambda: credentials, streams=limits)
        async with bus:
            await bus.ready(5)
            with capture_logs() as logs:
                await bus.ensure_streams()
                await bus.ensure_streams()
            changes.append([each["event"] for each in logs])
            client = await nats.connect(
                server.url, user="vm", password=credentials.password, inbox_prefix="_INBOX_vm"
            )
            found = {
                each.config.name or "": (
                    each.config.subjects,
                    each.config.max_age,
                    each.config.max_bytes,
                    each.config.duplicate_window,
                )
                for each in await client.jetstream().streams_info()
            }
            await client.close()
            return found

    changes: list[list[str]] = []
    first = await config(StreamLimits())
    assert first["EVT"] == (["sl.*.v1.evt.>"], 7 * 86400, 512 * 1024**2, 300)
    assert first["DLQ"] == (["sl.*.v1.dlq.>"], 30 * 86400, 128 * 1024**2, 300)
    second = await config(StreamLimits(events_age_seconds=86400, events_bytes=10_000_000))
    assert second["EVT"] == (["sl.*.v1.evt.>"], 86400, 10_000_000, 300)
    assert second["DLQ"] == first["DLQ"]
    assert await config(StreamLimits(events_age_seconds=86400, events_bytes=10_000_000)) == second
