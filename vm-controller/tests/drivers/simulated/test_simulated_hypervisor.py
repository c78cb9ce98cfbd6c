"""What is special about the simulated driver; the conformance suite has what all share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from stratuslab.core.errors import ConfigurationError
from stratuslab.vm_controller.drivers.base import (
    Domain,
    DomainEvent,
    DomainMark,
    DomainRejected,
    DomainSpec,
    DomainState,
    HypervisorUnavailable,
    StopReason,
)
from stratuslab.vm_controller.drivers.simulated import (
    Behaviour,
    SimulatedHypervisor,
    check_journals,
    outside,
    read_journal,
)
from stratuslab.vm_controller.drivers.simulated.guest import address_of

ID = "0b8f6a1e-6a3d-4c3b-9a55-0d6c9f5d2f01"
OTHER = "c0ffee00-6a3d-4c3b-9a55-0d6c9f5d2f02"

Seen = TypeVar("Seen")
Driver = Callable[..., SimulatedHypervisor]
Spec = Callable[..., DomainSpec]
Mark = Callable[..., DomainMark]


async def until(
    look: Callable[[], Awaitable[Seen | None]], holds: Callable[[Seen], bool] = lambda _: True
) -> Seen:
    """Look until there is something that holds."""
    deadline = time.monotonic() + 5
    while (seen := await look()) is None or not holds(seen):
        assert time.monotonic() < deadline, f"it did not come to pass; last seen: {seen}"
        await asyncio.sleep(0.005)
    return seen


async def stopped(hypervisor: SimulatedHypervisor, id: str = ID) -> Domain:
    return await until(lambda: hypervisor.find(id), lambda it: it.state is DomainState.STOPPED)


async def next_of(events: AsyncIterator[DomainEvent]) -> DomainEvent:
    async with asyncio.timeout(5):
        return await anext(events)


async def test_a_machine_outlives_its_driver(driver: Driver, spec: Spec) -> None:
    async with driver() as first:
        started = await first.start(spec())
        boot_id = (await first.facts()).boot_id
    async with driver() as second:
        assert await second.list_domains() == [started]
        assert (await second.facts()).boot_id == boot_id != ""


async def test_two_drivers_see_the_same_host(driver: Driver, spec: Spec, mark: Mark) -> None:
    async with driver() as one, driver() as two:
        await one.start(spec())
        await two.pause(ID, mark())
        found = await one.find(ID)
        assert found is not None
        assert found.state is DomainState.PAUSED
        await one.remove(ID)
        assert await two.find(ID) is None


async def test_hosts_in_one_folder_are_apart(driver: Driver, spec: Spec) -> None:
    async with driver("host-1") as one, driver("host-2") as two:
        await one.start(spec())
        assert await two.list_domains() == []
        assert (await one.facts()).boot_id != (await two.facts()).boot_id


async def test_an_order_with_a_lower_fence_is_refused_and_changes_nothing(
    driver: Driver, spec: Spec, mark: Mark, tmp_path: Path
) -> None:
    async with driver() as hypervisor:
        before = await hypervisor.start(spec(fence=5, generation=3))
        lines = len(read_journal(tmp_path, "host-1"))
        stale = mark(fence=4, generation=9)
        for order in (
            hypervisor.start(spec(fence=4, generation=9)),
            hypervisor.pause(ID, stale),
            hypervisor.suspend(ID, stale),
            hypervisor.shutdown(ID, stale),
            hypervisor.stop(ID, stale),
            hypervisor.mark(ID, stale),
        ):
            with pytest.raises(DomainRejected, match=r"Stale fence.*fence 4.*fence 5"):
                await order
        assert await hypervisor.find(ID) == before
        assert len(read_journal(tmp_path, "host-1")) == lines


async def test_an_order_from_an_old_document_is_refused_unless_its_fence_is_higher(
    driver: Driver, spec: Spec, mark: Mark
) -> None:
    async with driver() as hypervisor:
        await hypervisor.start(spec(fence=5, generation=3))
        with pytest.raises(DomainRejected, match="Stale generation"):
            await hypervisor.stop(ID, mark(fence=5, generation=2))
        domain = await hypervisor.stop(ID, mark(fence=6, generation=2))
        assert domain.state is DomainState.STOPPED


async def test_a_repeated_order_leaves_no_second_line(
    driver: Driver, spec: Spec, mark: Mark, tmp_path: Path
) -> None:
    async with driver() as hypervisor:
        for _ in range(3):
            await hypervisor.start(spec())
            await hypervisor.find(ID)
        for _ in range(3):
            await hypervisor.suspend(ID, mark())
        for _ in range(3):
            await hypervisor.remove(ID)
    events = [str(happening.event) for happening in read_journal(tmp_path, "host-1")]
    assert events == ["booted", "started", "suspended", "removed"]


async def test_a_shutdown_ends_even_when_its_driver_has_died(
    driver: Driver, spec: Spec, mark: Mark, tmp_path: Path
) -> None:
    slow = Behaviour(shutdown_seconds=0.1)
    async with driver(behaviour=slow) as hypervisor:
        await hypervisor.start(spec())
        domain = await hypervisor.shutdown(ID, mark(stopping=True))
        assert domain.state is DomainState.RUNNING
    async with driver() as successor:
        domain = await stopped(successor)
        assert domain.stop_reason is StopReason.REQUESTED
    assert read_journal(tmp_path, "host-1")[-1].reason is StopReason.REQUESTED


async def test_a_guest_may_ignore_its_power_button(driver: Driver, spec: Spec, mark: Mark) -> None:
    deaf = Behaviour(ignored_power_button_rate=1.0, shutdown_seconds=0.0)
    async with driver(behaviour=deaf) as hypervisor:
        await hypervisor.start(spec())
        await hypervisor.shutdown(ID, mark(stopping=True))
        await asyncio.sleep(0.02)
        domain = await hypervisor.find(ID)
        assert domain is not None
        assert domain.state is DomainState.RUNNING


@pytest.mark.parametrize(
    ("stopping", "reason"), [(False, StopReason.GUEST), (True, StopReason.REQUESTED)]
)
async def test_a_halt_is_the_guests_own_unless_it_was_asked(
    driver: Driver, spec: Spec, mark: Mark, tmp_path: Path, stopping: bool, reason: StopReason
) -> None:
    async with driver() as hypervisor:
        await hypervisor.start(spec())
        await hypervisor.mark(ID, mark(stopping=stopping))
        outside.halt(tmp_path, "host-1", ID)
        assert (await stopped(hypervisor)).stop_reason is reason


async def test_a_crash_and_a_reboot_of_the_host_are_told_apart(
    driver: Driver, spec: Spec, tmp_path: Path
) -> None:
    async with driver() as hypervisor:
        await hypervisor.start(spec())
        await hypervisor.start(spec(OTHER))
        boot_id = (await hypervisor.facts()).boot_id
        outside.crash(tmp_path, "host-1", ID)
        new_boot_id = outside.reboot_host(tmp_path, "host-1")
        assert (await stopped(hypervisor, ID)).stop_reason is StopReason.CRASH
        assert (await stopped(hypervisor, OTHER)).stop_reason is StopReason.HOST_REBOOT
        assert (await hypervisor.facts()).boot_id == new_boot_id != boot_id


async def test_a_new_boot_of_the_machine_underneath_boots_the_host(
    driver: Driver, spec: Spec, tmp_path: Path
) -> None:
    async with driver(boot_id="machine-boot-1") as hypervisor:
        await hypervisor.start(spec())
        assert (await hypervisor.facts()).boot_id == "machine-boot-1"
    host_boot_id = outside.reboot_host(tmp_path, "host-1")
    async with driver(boot_id="machine-boot-1") as hypervisor:
        assert (await hypervisor.facts()).boot_id == host_boot_id
        await hypervisor.start(spec())
    async with driver(boot_id="machine-boot-2") as hypervisor:
        assert (await hypervisor.facts()).boot_id == "machine-boot-2"
        assert (await stopped(hypervisor)).stop_reason is StopReason.HOST_REBOOT


async def test_a_foreign_domain_is_shown_without_a_mark(driver: Driver, tmp_path: Path) -> None:
    async with driver() as hypervisor:
        id = outside.start_foreign(tmp_path, "host-1", "somebody's")
        assert await hypervisor.list_domains() == [
            Domain(id=id, name="somebody's", state=DomainState.RUNNING)
        ]


async def test_the_guest_prints_its_banner_and_has_its_address_once_it_has_booted(
    driver: Driver, spec: Spec, mark: Mark
) -> None:
    async with driver("host-2", behaviour=Behaviour(boot_seconds=60)) as hypervisor:
        await hypervisor.start(spec(name="blue"))
        assert b"READY" not in await hypervisor.console(ID, 4096)
        assert await hypervisor.address(ID) is None
    async with driver(behaviour=Behaviour(boot_seconds=0.05)) as hypervisor:
        await hypervisor.start(spec(name="blue"))
        address = await until(lambda: hypervisor.address(ID))
        banner = f"STRATUSLAB READY name=blue address={address} ssh=no uptime=0.05\r\n"
        assert banner.encode() in await hypervisor.console(ID, 4096)
        assert len(await hypervisor.console(ID, 10)) == 10
        await hypervisor.stop(ID, mark())
        assert await hypervisor.address(ID) is None
        assert banner.encode() in await hypervisor.console(ID, 4096)
        assert await hypervisor.console(OTHER, 4096) == b""


@pytest.mark.parametrize(
    "id", ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", ID]
)
def test_addresses_are_those_of_guests_never_of_networks(id: str) -> None:
    numbers = [int(part) for part in address_of(id).split(".")]
    assert numbers[0] == 10
    assert all(0 <= number <= 255 for number in numbers)
    assert 1 <= numbers[3] <= 254


async def test_own_events_come_at_once_and_those_of_others_within_100_ms(
    driver: Driver, spec: Spec, mark: Mark, tmp_path: Path
) -> None:
    async with driver() as hypervisor:
        events = hypervisor.events()
        await hypervisor.start(spec())
        assert await next_of(events) == DomainEvent(id=ID, what="started")
        delays = []
        for _ in range(3):
            waiting = asyncio.create_task(next_of(events))
            await asyncio.sleep(0.02)
            outside.crash(tmp_path, "host-1", ID)
            happened = time.monotonic()
            assert await waiting == DomainEvent(id=ID, what="stopped")
            delays.append(time.monotonic() - happened)
            await hypervisor.start(spec())
            assert (await next_of(events)).what == "started"
        assert min(delays) < 0.1
        outside.reboot_host(tmp_path, "host-1")
        assert await next_of(events) == DomainEvent(id=None, what="booted")


async def test_the_end_of_a_shutdown_comes_as_an_event(
    driver: Driver, spec: Spec, mark: Mark
) -> None:
    async with driver(behaviour=Behaviour(shutdown_seconds=0.03)) as hypervisor:
        await hypervisor.start(spec())
        events = hypervisor.events()
        await hypervisor.shutdown(ID, mark(stopping=True))
        assert (await next_of(events)).what == "shutdown-requested"
        assert (await next_of(events)).what == "stopped"


async def test_events_end_with_the_driver(driver: Driver, spec: Spec) -> None:
    async with driver() as hypervisor:
        events = hypervisor.events()
        waiting = asyncio.create_task(anext(events, None))
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert await waiting is None


async def test_a_closed_driver_says_so(driver: Driver, spec: Spec) -> None:
    hypervisor = driver()
    with pytest.raises(HypervisorUnavailable, match="not connected"):
        await hypervisor.start(spec())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"id": "../../etc"}, "not a UUID"),
        ({"cpu": 0}, "at least one"),
        ({"memory_kib": 0}, "at least one"),
        ({"memory_kib": 8_388_609}, "the whole host has 8388608 KiB"),
    ],
)
async def test_an_impossible_domain_is_rejected(
    driver: Driver, spec: Spec, changes: dict[str, object], sentence: str
) -> None:
    async with driver() as hypervisor:
        with pytest.raises(DomainRejected, match=sentence):
            await hypervisor.start(spec(**changes))
        assert await hypervisor.list_domains() == []


@pytest.mark.parametrize("host", ["", ".", "..", "a/b", "x" * 300])
def test_a_hosts_name_must_be_fit_for_a_folder(driver: Driver, host: str) -> None:
    with pytest.raises(ConfigurationError):
        driver(host)


async def test_a_folder_that_cannot_be_made_is_told(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "host-1").write_text("a file is in the way")
    with pytest.raises(HypervisorUnavailable, match=r"Cannot open.*journal"):
        async with driver():
            pass


async def test_the_checker_finds_a_machine_that_runs_twice(
    driver: Driver, spec: Spec, mark: Mark, tmp_path: Path
) -> None:
    async with driver("host-1") as one, driver("host-2") as two:
        await one.start(spec(fence=1))
        await one.stop(ID, mark(fence=1))
        await two.start(spec(fence=2))
        await two.remove(ID)
        assert check_journals(tmp_path) == []
        await one.start(spec(fence=2))
        await two.start(spec(fence=2))
        assert "while running on host-1" in "\n".join(check_journals(tmp_path))
        await one.stop(ID, mark(fence=2))
        await two.stop(ID, mark(fence=3))
        await one.start(spec(fence=2))
        assert "under fence 2 after 3" in check_journals(tmp_path)[-1]


async def test_a_driver_leaves_no_file_open(driver: Driver, spec: Spec) -> None:
    open_files = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        async with driver() as hypervisor:
            await hypervisor.start(spec())
    assert len(list(Path("/proc/self/fd").iterdir())) == open_files
