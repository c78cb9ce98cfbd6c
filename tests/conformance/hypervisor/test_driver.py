"""What every hypervisor driver promises, checked on each of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from hypervisor_hosts import HostUnderTest, stopped

from stratuslab.vm_controller.drivers.base import (
    Domain,
    DomainEvent,
    DomainMark,
    DomainNotFound,
    DomainRejected,
    DomainState,
    Hypervisor,
    StopReason,
)

Mark = Callable[..., DomainMark]


async def test_facts_say_what_the_host_offers(driver: Hypervisor) -> None:
    facts = await driver.facts()
    assert facts.cpu_count > 0
    assert facts.memory_kib > 1 << 20
    assert facts.cpu_arch
    assert facts.domain_type in {"kvm", "qemu", "simulated"}
    assert facts.boot_id == "boot-1"


async def test_an_absent_domain_is_none_and_has_neither_console_nor_address(
    driver: Hypervisor, id: str
) -> None:
    assert await driver.find(id) is None
    assert await driver.console(id, 100) == b""
    assert await driver.address(id) is None


async def test_removing_an_absent_domain_is_success(driver: Hypervisor, id: str) -> None:
    await driver.remove(id)
    await driver.remove(id)


@pytest.mark.parametrize("order", ["pause", "suspend", "shutdown", "stop", "mark"])
async def test_an_order_for_an_absent_domain_says_so(
    driver: Hypervisor, id: str, mark: Mark, order: str
) -> None:
    with pytest.raises(DomainNotFound):
        await getattr(driver, order)(id, mark())


async def test_a_started_domain_runs_with_its_mark(
    host: HostUnderTest, driver: Hypervisor, id: str, mark: Mark
) -> None:
    domain = await driver.start(host.spec(id, mark()))
    assert domain.id == id
    assert domain.name == f"machine-{id[:8]}"
    assert domain.state is DomainState.RUNNING
    assert domain.stop_reason is None
    assert domain.mark == mark()
    assert await driver.find(id) == domain
    assert domain in await driver.list_domains()


async def test_each_order_given_twice_is_the_same_as_once(
    host: HostUnderTest, driver: Hypervisor, id: str, mark: Mark
) -> None:
    spec = host.spec(id, mark())
    orders: list[Callable[[], Awaitable[Domain | None]]] = [
        lambda: driver.start(spec),
        lambda: driver.pause(id, mark()),
        lambda: driver.start(spec),
        lambda: driver.suspend(id, mark()),
        lambda: driver.start(spec),
        lambda: driver.mark(id, mark(restarts=1)),  # type: ignore[list-item]
        lambda: driver.stop(id, mark(stopping=True)),
    ]
    for order in orders:
        first = await order()
        second = await order()
        assert second == first
    assert (await driver.list_domains()).count(await stopped(driver, id)) == 1


async def test_concurrent_starts_make_one_domain(
    host: HostUnderTest, driver: Hypervisor, id: str, mark: Mark
) -> None:
    spec = host.spec(id, mark())
    domains = await asyncio.gather(*(driver.start(spec) for _ in range(4)))
    assert {domain.state for domain in domains} == {DomainState.RUNNING}
    assert [domain.id for domain in await driver.list_domains()].count(id) == 1


async def test_a_paused_domain_resumes(
    host: HostUnderTest, driver: Hypervisor, id: str, mark: Mark
) -> None:
    spec = host.spec(id, mark())
    await driver.start(spec)
    assert (await driver.pause(id, mark(generation=2))).state is DomainState.PAUSED
    resumed = await driver.start(host.spec(id, mark(generation=3)))
    assert resumed.state is DomainState.RUNNING
    assert resumed.mark == mark(generation=3)


@pytest.mark.parametrize("paused", [False, True])
async def test_a_suspended_domain_goes_on_running(
    host: HostUnderTest, driver: Hypervisor, id: str, mark: Mark, *, paused: bool
) -> None:
    spec = host.spec(id, mark())
    await driver.start(spec)
    await host.booted(driver, id)
    if paused:
        await driver.pause(id, mark())
    suspended = await driver.suspend(id, mark(generation=2))
    assert suspended.state is DomainState.SUSPENDED
    assert suspended.stop_reason is None
    assert (await driver.pause(id, mark(generation=2))).state is DomainState.SUSPENDED
    restored = await driver.start(host.spec(id, mark(generation=3)))
    assert restored.state is DomainState.RUNNING
    assert restored.mark == mark(generation=3)


async def test_a_stopped_domain_stays_stopped(
    host: HostUnderTest, driver: Hypervisor, id: str, mark: Mark
) -> None:
    await driver.start(host.spec(id, mark()))
    await driver.stop(id, mark(stopping=True))
    for order in (driver.pause, driver.suspend, driver.shutdown):
        assert (await order(id, mark(stopping=True))).state is DomainState.STOPPED


async def test_cutting_the_power_discards_saved_memory(
    host: HostUnderTest, driver: Hypervisor, id: str, mark: Mark
) -> None:
    await driver.start(host.spec(id, mark()))
    await driver.suspend(id, mark())
    domain = await driver.stop(id, mark(stopping=True))
    assert domain.state is DomainState.STOPPED
    assert domain.stop_reason is StopReason.REQUESTED


async def test_the_power_button_returns_at_once_and_the_guest_obeys(
    host: HostUnderTest, driver: Hypervisor, id: str, mark: Mark
) -> None:
    await driver.start(host.spec(id, mark()))
    await host.booted(driver, id)
    events = driver.events()
    await driver.shutdown(id, mark(stopping=True))
    async with asyncio.timeout(30):
        while (await driver.find(id)).state is not DomainState.STOPPED:  # type: ignore[union-attr]
            assert (await anext(events)).id == id
    assert (await stopped(driver, id)).stop_reason is StopReason.REQUESTED


async def test_a_guest_that_halts_is_told_from_one_that_was_stopped(
    host: HostUnderTest, driver: Hypervisor, id: str, mark: Mark
) -> None:
    await driver.start(host.spec(id, mark()))
    await host.halt(driver, id)
    assert (await stopped(driver, id)).stop_reason is StopReason.GUEST
    again = await driver.start(host.spec(id, mark()))
    assert (again.state, again.stop_reason) == (DomainState.RUNNING, None)


async def test_a_guest_that_is_killed_has_crashed(
    host: HostUnderTest, driver: Hypervisor, id: str, mark: Mark
) -> None:
    await driver.start(host.spec(id, mark()))
    await host.crash(driver, id)
    assert (await stopped(driver, id)).stop_reason is StopReason.CRASH
    assert (await driver.start(host.spec(id, mark()))).state is DomainState.RUNNING


async def test_a_removed_domain_leaves_nothing(
    host: HostUnderTest, driver: Hypervisor, id: str, mark: Mark
) -> None:
    await driver.start(host.spec(id, mark()))
    await driver.suspend(id, mark())
    await driver.remove(id)
    assert await driver.find(id) is None
    started = await driver.start(host.spec(id, mark()))
    assert started.state is DomainState.RUNNING
    await driver.remove(id)
    assert id not in {domain.id for domain in await driver.list_domains()}


async def test_a_mark_survives_drivers_and_stops(
    host: HostUnderTest, driver: Hypervisor, id: str, mark: Mark
) -> None:
    await driver.start(host.spec(id, mark()))
    new = mark(generation=7, fence=3, restarts=2, stopping=True)
    await driver.mark(id, new)
    await driver.stop(id, new)
    async with host.driver() as other:
        found = await other.find(id)
    assert found is not None
    assert found.mark == new


@pytest.mark.parametrize("stale", [{"fence": 1, "generation": 9}, {"fence": 2, "generation": 1}])
async def test_a_stale_order_is_refused(
    host: HostUnderTest, driver: Hypervisor, id: str, mark: Mark, stale: dict[str, int]
) -> None:
    obeyed = mark(fence=2, generation=2)
    await driver.start(host.spec(id, obeyed))
    with pytest.raises(DomainRejected, match=r"[Ss]tale"):
        await driver.stop(id, mark(**stale))
    with pytest.raises(DomainRejected, match=r"[Ss]tale"):
        await driver.start(host.spec(id, mark(**stale)))
    found = await driver.find(id)
    assert found is not None
    assert (found.state, found.mark) == (DomainState.RUNNING, obeyed)


async def test_foreign_domains_are_listed_without_a_mark(
    host: HostUnderTest, driver: Hypervisor, id: str, mark: Mark
) -> None:
    foreign = await host.start_foreign(driver)
    await driver.start(host.spec(id, mark()))
    marks = {domain.id: domain.mark for domain in await driver.list_domains()}
    assert marks[foreign] is None
    assert marks[id] == mark()


async def test_events_come_within_100_ms(
    host: HostUnderTest, driver: Hypervisor, id: str, mark: Mark
) -> None:
    await driver.start(host.spec(id, mark()))
    events, others = driver.events(), driver.events()
    for order in (driver.pause(id, mark()), driver.start(host.spec(id, mark()))):
        await order
        began = time.monotonic()
        for stream in (events, others):
            async with asyncio.timeout(5):
                assert (await anext(stream)).id == id
        assert time.monotonic() - began < 0.1


async def test_events_end_with_the_driver(host: HostUnderTest) -> None:
    async def read(events: object) -> list[DomainEvent]:
        return [event async for event in events]  # type: ignore[attr-defined]

    async with host.driver() as driver:
        reading = asyncio.create_task(read(driver.events()))
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await reading


async def test_the_console_is_read_from_its_end(
    host: HostUnderTest, driver: Hypervisor, id: str, mark: Mark
) -> None:
    await driver.start(host.spec(id, mark()))
    await host.booted(driver, id)
    whole = await driver.console(id, 100_000)
    assert await driver.console(id, 7) == whole[-7:]
    assert await driver.console(id, 0) == b""
