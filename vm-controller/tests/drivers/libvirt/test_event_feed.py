"""Every listener hears everything, or is told to look at everything."""

from __future__ import annotations

import asyncio

import pytest

from stratuslab.vm_controller.drivers.base import DomainEvent
from stratuslab.vm_controller.drivers.libvirt.event_feed import MAX_WAITING, EventFeed


def event(number: int) -> DomainEvent:
    return DomainEvent(id=str(number), what="started")


async def test_listeners_hear_what_comes_after_they_began() -> None:
    feed = EventFeed()
    early = feed.listen()
    feed.publish(event(1))
    late = feed.listen()
    feed.publish(event(2))
    feed.close()
    assert [each.id async for each in early] == ["1", "2"]
    assert [each.id async for each in late] == ["2"]


async def test_a_waiting_listener_wakes_up() -> None:
    feed = EventFeed()
    listener = feed.listen()
    waiting = asyncio.create_task(anext(listener))
    await asyncio.sleep(0)
    feed.publish(event(1))
    assert await waiting == event(1)


async def test_who_does_not_keep_up_is_told_to_look_at_everything() -> None:
    feed = EventFeed()
    slow, quick = feed.listen(), feed.listen()
    for number in range(MAX_WAITING + 2):
        feed.publish(event(number))
        assert await anext(quick) == event(number)
    assert await anext(slow) == DomainEvent(id=None, what="overflow")
    assert await anext(slow) == event(MAX_WAITING + 1)


async def test_a_closed_feed_ends_at_once() -> None:
    feed = EventFeed()
    feed.close()
    with pytest.raises(StopAsyncIteration):
        await anext(feed.listen())
