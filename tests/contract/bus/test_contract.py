"""What every bus promises. Runs over each adapter."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from eventually import eventually
from structlog.contextvars import bound_contextvars, get_contextvars

from stratuslab.core.bus.base import Bus, Delivery, Message, NoResponders
from stratuslab.core.contracts.messages import (
    HOST_FREED,
    HOST_STATE,
    JOB_FINISHED,
    MACHINE_CHANGED,
    MACHINE_CONSOLE,
    ConsoleQuery,
    ConsoleReply,
    Event,
    HostStateChanged,
    JobFinished,
    event,
)
from stratuslab.core.errors import (
    InvalidRequest,
    NotFound,
    PermanentError,
    StratusLabError,
    Unavailable,
)

Two = tuple[Bus, Bus]


def host_up(host: str = "node-1") -> Event:
    return event(HOST_STATE, f"host/{host}", HostStateChanged(id=host, state="UP"))


class Recorder:
    """A consumer that keeps what it is given, and raises what it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.deliveries: list[Delivery] = []
        self._failures = list(failures)

    async def __call__(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        if self._failures:
            raise self._failures.pop(0)

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.deliveries]


async def next_hint(hints: Any) -> Message:
    message: Message = await asyncio.wait_for(anext(hints), 5)
    return message


# -- hints


async def test_a_hint_wakes_whoever_listens_for_it(two_buses: Two) -> None:
    one, other = two_buses
    async with (
        other.hints(MACHINE_CHANGED, host="node-1") as mine,
        other.hints(MACHINE_CHANGED) as everyones,
    ):
        one.hint(MACHINE_CHANGED, host="node-2", id="m-2")
        one.hint(MACHINE_CHANGED, host="node-1", id="m-1")
        assert (await next_hint(mine)).tokens == ("node-1", "m-1")
        assert (await next_hint(everyones)).tokens == ("node-2", "m-2")
        hint = await next_hint(everyones)
        assert hint.tokens == ("node-1", "m-1")
        assert hint.headers["ce-type"] == "eu.stratuslab.vm.machine.changed.v1"
        assert hint.headers["ce-specversion"] == "1.0"


async def test_shared_hints_go_to_one_of_those_who_share(two_buses: Two) -> None:
    one, other = two_buses
    seen: list[str] = []

    async def listen(bus: Bus, name: str) -> None:
        async with bus.hints(HOST_FREED, shared=True) as hints:
            ready.release()
            async for _ in hints:
                seen.append(name)

    ready = asyncio.Semaphore(0)
    listeners = [asyncio.create_task(listen(bus, name)) for bus, name in ((one, "a"), (other, "b"))]
    for _ in listeners:
        await ready.acquire()
    for number in range(40):
        one.hint(HOST_FREED, host=f"node-{number}")
    await eventually(lambda: len(seen) >= 40)
    await asyncio.sleep(0.05)
    assert len(seen) == 40
    assert set(seen) == {"a", "b"}
    for listener in listeners:
        listener.cancel()
    await asyncio.gather(*listeners, return_exceptions=True)


async def test_a_hint_never_raises(two_buses: Two) -> None:
    one, _ = two_buses
    one.hint(HOST_FREED, host="no.such token")
    one.hint(HOST_FREED)


async def test_listening_for_an_impossible_token_is_refused(two_buses: Two) -> None:
    one, _ = two_buses
    with pytest.raises(ValueError, match="cannot be a token"):
        async with one.hints(HOST_FREED, host="node.example.org"):
            pass


async def test_the_bodys_own_error_comes_out_as_it_is(two_buses: Two) -> None:
    one, _ = two_buses

    async def answer(query: ConsoleQuery) -> ConsoleReply:
        raise AssertionError

    with pytest.raises(NotFound, match="mine"):
        async with (
            one.hints(HOST_FREED),
            one.answers(MACHINE_CONSOLE, answer),
            one.consume("errors", (HOST_STATE,), Recorder()),
        ):
            raise NotFound("mine")


# -- queries


async def test_a_query_is_answered(two_buses: Two) -> None:
    one, other = two_buses

    async def answer(query: ConsoleQuery) -> ConsoleReply:
        return ConsoleReply(data=f"{query.id} {query.max_bytes}".encode())

    async with other.answers(MACHINE_CONSOLE, answer, host="node-1"):
        reply = await one.query(
            MACHINE_CONSOLE,
            ConsoleQuery(id="m-1", max_bytes=3),
            ConsoleReply,
            timeout=5,
            host="node-1",
        )
    assert reply.data == b"m-1 3"


async def test_a_query_that_nobody_answers_fails_at_once(two_buses: Two) -> None:
    one, other = two_buses

    async def answer(query: ConsoleQuery) -> ConsoleReply:
        return ConsoleReply(data=b"")

    async def ask() -> None:
        await one.query(
            MACHINE_CONSOLE, ConsoleQuery(id="m"), ConsoleReply, timeout=30, host="node-1"
        )

    async with other.answers(MACHINE_CONSOLE, answer, host="node-2"):
        with pytest.raises(NoResponders):
            await ask()
    async with other.answers(MACHINE_CONSOLE, answer, host="node-1"):
        await ask()
    with pytest.raises(NoResponders):
        await ask()


async def test_a_query_that_takes_too_long_is_given_up(two_buses: Two) -> None:
    one, other = two_buses

    async def answer(query: ConsoleQuery) -> ConsoleReply:
        await asyncio.sleep(0.5)
        return ConsoleReply(data=b"")

    async with other.answers(MACHINE_CONSOLE, answer):
        with pytest.raises(Unavailable, match="not answered within"):
            await one.query(
                MACHINE_CONSOLE, ConsoleQuery(id="m"), ConsoleReply, timeout=0.05, host="node-1"
            )


async def test_a_slow_answer_does_not_hold_up_the_others(two_buses: Two) -> None:
    one, other = two_buses
    blocked = asyncio.Event()

    async def answer(query: ConsoleQuery) -> ConsoleReply:
        if query.id == "slow":
            await blocked.wait()
        return ConsoleReply(data=query.id.encode())

    async def ask(id: str) -> bytes:
        query = ConsoleQuery(id=id)
        reply = await one.query(MACHINE_CONSOLE, query, ConsoleReply, timeout=5, host="node-1")
        return reply.data

    async with other.answers(MACHINE_CONSOLE, answer):
        slow = asyncio.create_task(ask("slow"))
        assert await ask("quick") == b"quick"
        blocked.set()
        assert await slow == b"slow"


@pytest.mark.parametrize(
    "raised",
    [
        NotFound("There is no such machine.", hint="List them.", machine="m-1"),
        InvalidRequest("max_bytes is too large."),
        Unavailable("The hypervisor does not answer.", retry_after_seconds=7.0),
    ],
)
async def test_the_answering_sides_error_is_raised_at_the_asking_side(
    two_buses: Two, raised: StratusLabError
) -> None:
    one, other = two_buses

    async def answer(query: ConsoleQuery) -> ConsoleReply:
        raise raised

    async with other.answers(MACHINE_CONSOLE, answer):
        with pytest.raises(type(raised)) as caught:
            await one.query(
                MACHINE_CONSOLE, ConsoleQuery(id="m"), ConsoleReply, timeout=5, host="node-1"
            )
    error = caught.value
    assert (error.code, error.message, error.hint) == (raised.code, raised.message, raised.hint)
    assert error.details == raised.details
    if isinstance(raised, Unavailable):
        assert isinstance(error, Unavailable)
        assert error.retry_after_seconds == raised.retry_after_seconds


async def test_a_bug_in_the_answering_side_tells_nothing_of_its_inside(two_buses: Two) -> None:
    one, other = two_buses

    async def answer(query: ConsoleQuery) -> ConsoleReply:
        raise ValueError("the password is sesame")

    async with other.answers(MACHINE_CONSOLE, answer):
        with pytest.raises(StratusLabError) as caught:
            await one.query(
                MACHINE_CONSOLE, ConsoleQuery(id="m"), ConsoleReply, timeout=5, host="node-1"
            )
    assert caught.value.code == "internal-error"
    assert "sesame" not in str(caught.value)


async def test_a_query_of_the_wrong_shape_is_refused(two_buses: Two) -> None:
    one, other = two_buses

    class Other(msgspec.Struct):
        surprise: int = 1

    async def answer(query: ConsoleQuery) -> ConsoleReply:
        raise AssertionError

    async with other.answers(MACHINE_CONSOLE, answer):
        with pytest.raises(InvalidRequest, match="id"):
            await one.query(MACHINE_CONSOLE, Other(), ConsoleReply, timeout=5, host="node-1")


# -- events


async def test_a_stored_event_is_handled_also_by_who_comes_later(two_buses: Two) -> None:
    one, other = two_buses
    await one.publish("e-1", host_up())
    await one.publish(
        "e-2", event(JOB_FINISHED, "job/j", JobFinished(id="j", state="X", target="t"))
    )
    recorder = Recorder()
    async with other.consume("later", (HOST_STATE,), recorder):
        await one.publish("e-3", host_up("node.with.dots"))
        await eventually(lambda: recorder.ids == ["e-1", "e-3"])
    delivery = recorder.deliveries[1]
    assert delivery.event == host_up("node.with.dots")
    assert delivery.deliveries == 1
    assert delivery.sequence > recorder.deliveries[0].sequence


async def test_the_same_id_is_stored_once(two_buses: Two) -> None:
    one, other = two_buses
    recorder = Recorder()
    async with other.consume("once", (HOST_STATE,), recorder):
        for _ in range(3):
            await one.publish("e-1", host_up())
            await other.publish("e-1", host_up())
        await one.publish("e-2", host_up())
        await eventually(lambda: "e-2" in recorder.ids)
    assert recorder.ids == ["e-1", "e-2"]


async def test_processes_of_one_name_share_the_work_others_get_their_own(two_buses: Two) -> None:
    one, other = two_buses
    mine, theirs, watcher = Recorder(), Recorder(), Recorder()
    async with (
        one.consume("workers", (HOST_STATE,), mine),
        other.consume("workers", (HOST_STATE,), theirs),
        other.consume("watcher", (HOST_STATE,), watcher),
    ):
        expected = [f"e-{number}" for number in range(30)]
        for id in expected:
            await one.publish(id, host_up())
        await eventually(lambda: len(watcher.ids) == 30 and len(mine.ids + theirs.ids) == 30)
    assert watcher.ids == expected
    assert sorted(mine.ids + theirs.ids) == sorted(expected)


async def test_what_was_handled_does_not_come_again_after_a_restart(two_buses: Two) -> None:
    one, other = two_buses
    await one.publish("e-1", host_up())
    first, second = Recorder(), Recorder()
    async with one.consume("restarted", (HOST_STATE,), first):
        await eventually(lambda: first.ids == ["e-1"])
    await one.publish("e-2", host_up())
    async with other.consume("restarted", (HOST_STATE,), second):
        await eventually(lambda: second.ids)
    assert second.ids == ["e-2"]


async def test_a_transient_error_and_a_bug_are_followed_by_another_delivery(two_buses: Two) -> None:
    one, other = two_buses
    recorder = Recorder(Unavailable("not now"), ZeroDivisionError("a bug"))
    async with other.consume("again", (HOST_STATE,), recorder):
        await one.publish("e-1", host_up())
        await eventually(lambda: len(recorder.deliveries) == 3)
        await one.publish("e-2", host_up())
        await eventually(lambda: len(recorder.deliveries) == 4)
    assert recorder.ids == ["e-1", "e-1", "e-1", "e-2"]
    assert [each.deliveries for each in recorder.deliveries] == [1, 2, 3, 1]
    assert await one.dead_letters() == []


async def test_a_failing_event_does_not_hold_up_the_others(two_buses: Two) -> None:
    one, other = two_buses
    handled: list[str] = []

    async def consumer(delivery: Delivery) -> None:
        if delivery.id == "poison":
            raise PermanentError("It is poison.")
        handled.append(delivery.id)

    async with other.consume("flow", (HOST_STATE,), consumer):
        for id in ("e-1", "poison", "e-2"):
            await one.publish(id, host_up())
        await eventually(lambda: handled == ["e-1", "e-2"])


async def test_a_permanent_error_makes_a_dead_letter_at_once(two_buses: Two) -> None:
    one, other = two_buses
    recorder = Recorder(PermanentError("It is poison."))
    async with other.consume("strict", (HOST_STATE,), recorder):
        await one.publish("e-1", host_up())
        await eventually(one.dead_letters)
    [(_, letter)] = await one.dead_letters()
    assert (letter.consumer, letter.reason, letter.deliveries) == ("strict", "It is poison.", 1)
    assert letter.subject == "sl.vm.v1.evt.host.state.node-1"
    assert recorder.ids == ["e-1"]


async def test_what_fails_too_often_becomes_a_dead_letter(two_buses: Two) -> None:
    one, other = two_buses
    recorder = Recorder(*(ValueError("the password is sesame") for _ in range(9)))
    async with other.consume("tired", (HOST_STATE,), recorder):
        await one.publish("e-1", host_up())
        await eventually(one.dead_letters)
    [(_, letter)] = await one.dead_letters()
    assert letter.deliveries == 3
    assert "sesame" not in letter.reason
    assert "ValueError" in letter.reason
    assert len(recorder.deliveries) == 3


async def test_a_dead_letter_can_be_replayed(two_buses: Two) -> None:
    one, other = two_buses
    recorder = Recorder(PermanentError("not yet"))
    async with other.consume("mended", (HOST_STATE,), recorder):
        await one.publish("e-1", host_up())
        await eventually(one.dead_letters)
        [(sequence, _)] = await one.dead_letters()
        await one.replay(sequence)
        await eventually(lambda: len(recorder.deliveries) == 2)
    assert recorder.deliveries[1].event == host_up()
    assert recorder.ids[1] != "e-1"
    assert await one.dead_letters() == []


async def test_a_dead_letter_can_be_discarded(two_buses: Two) -> None:
    one, other = two_buses
    recorder = Recorder(*(PermanentError("never") for _ in range(3)))
    async with other.consume("pile", (HOST_STATE,), recorder):
        for number in range(3):
            await one.publish(f"e-{number}", host_up())
        letters = await eventually_letters(one, 3)
    await one.discard(letters[1][0])
    left = await one.dead_letters()
    assert [sequence for sequence, _ in left] == [letters[0][0], letters[2][0]]
    assert len(await one.dead_letters(limit=1)) == 1


@pytest.mark.parametrize("operation", ["replay", "discard"])
async def test_a_dead_letter_that_does_not_exist_is_not_found(
    two_buses: Two, operation: str
) -> None:
    one, _ = two_buses
    with pytest.raises(NotFound):
        await getattr(one, operation)(4711)


async def test_an_event_of_an_unknown_type_is_refused(two_buses: Two) -> None:
    one, _ = two_buses
    with pytest.raises(PermanentError, match="no\\.such\\.event"):
        await one.publish("e-1", Event(address="no.such.event", subject="host/h", data={}))


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_a_trace_goes_with_events_and_queries(two_buses: Two) -> None:
    one, other = two_buses
    traces: list[object] = []

    async def consumer(delivery: Delivery) -> None:
        traces.append(get_contextvars().get("traceparent"))

    async def answer(query: ConsoleQuery) -> ConsoleReply:
        traces.append(get_contextvars().get("traceparent"))
        return ConsoleReply(data=b"")

    async with (
        other.consume("traced", (HOST_STATE,), consumer),
        other.answers(MACHINE_CONSOLE, answer),
    ):
        with bound_contextvars(traceparent=TRACE):
            await one.publish("e-1", host_up())
            await one.query(
                MACHINE_CONSOLE, ConsoleQuery(id="m"), ConsoleReply, timeout=5, host="node-1"
            )
        await eventually(lambda: len(traces) == 2)
        await one.publish("e-2", host_up())
        await eventually(lambda: len(traces) == 3)
    assert traces == [TRACE, TRACE, None]


async def eventually_letters(bus: Bus, count: int) -> list[tuple[int, Any]]:
    async def letters() -> list[tuple[int, Any]] | None:
        with suppress(Unavailable):
            found = await bus.dead_letters()
            return found if len(found) == count else None
        return None

    found = await eventually(letters)
    assert isinstance(found, list)
    return found
