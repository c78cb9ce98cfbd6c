"""The key queue: coalescing, one worker per key, timers."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from stratuslab.core.reconcile import KeyQueue


async def test_a_key_waits_at_most_once() -> None:
    queue = KeyQueue()
    for _ in range(5):
        queue.wake("a")
    queue.wake("b")
    assert await queue.take(10) == ["a", "b"]
    assert queue.depth == 0


async def test_a_wish_during_the_work_comes_after_it() -> None:
    queue = KeyQueue()
    queue.wake("a")
    (key,) = await queue.take()
    queue.wake("a")
    queue.wake("a")
    assert queue.depth == 0
    queue.done(key)
    assert await queue.take(10) == ["a"]


async def test_a_timer_wakes_and_an_earlier_wish_wins() -> None:
    queue = KeyQueue()
    loop = asyncio.get_running_loop()
    begin = loop.time()
    queue.wake("late", 5.0)
    queue.wake("late", 0.02)
    queue.wake("late", 1.0)
    async with asyncio.timeout(2):
        assert await queue.take() == ["late"]
    assert loop.time() - begin < 0.5
    queue.close()


async def test_waking_now_forgets_the_timer() -> None:
    queue = KeyQueue()
    queue.wake("a", 0.02)
    queue.wake("a")
    (key,) = await queue.take()
    queue.done(key)
    async with asyncio.timeout(1):
        await asyncio.sleep(0.05)
    assert queue.depth == 0


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["wake", "take", "done"]))),
)
def test_no_wish_is_ever_lost_and_no_key_is_worked_on_twice_at_once(
    steps: list[tuple[str, str]],
) -> None:
    async def play() -> None:
        queue = KeyQueue()
        working: set[str] = set()
        wanted: set[str] = set()
        for key, step in steps:
            if step == "wake":
                queue.wake(key)
                wanted.add(key)
            elif step == "take" and queue.depth:
                (taken,) = await queue.take()
                assert taken not in working
                working.add(taken)
                wanted.discard(taken)
            elif step == "done" and key in working:
                working.discard(key)
                queue.done(key)
        for key in working:
            queue.done(key)
        assert set(await queue.take(99) if queue.depth else []) == wanted

    asyncio.run(play())
