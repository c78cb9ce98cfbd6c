"""Slow, failing, mute and full hosts, from the start or changed while they run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from stratuslab.core.errors import TransientError
from stratuslab.vm_controller.drivers.base import (
    DomainMark,
    DomainRejected,
    DomainSpec,
    HypervisorUnavailable,
)
from stratuslab.vm_controller.drivers.simulated import (
    FAILING,
    FULL,
    NEVER_ANSWERS,
    PRESETS,
    SLOW,
    Behaviour,
    SimulatedHypervisor,
    outside,
)

ID = "0b8f6a1e-6a3d-4c3b-9a55-0d6c9f5d2f01"

Driver = Callable[..., SimulatedHypervisor]
Spec = Callable[..., DomainSpec]
Mark = Callable[..., DomainMark]


async def test_an_operation_takes_its_own_latency_or_the_general_one(
    driver: Driver, spec: Spec
) -> None:
    async with driver(behaviour=Behaviour(latency_ms={"any": 20.0, "find": 0.0})) as hypervisor:
        began = time.monotonic()
        await hypervisor.start(spec())
        assert time.monotonic() - began >= 0.02
        behaviour = Behaviour(latency_ms={"start": 20_000.0})
    async with driver(behaviour=behaviour) as hypervisor:
        async with asyncio.timeout(2):
            await hypervisor.find(ID)


async def test_an_operation_waits_without_blocking_and_can_be_cancelled(
    driver: Driver, spec: Spec
) -> None:
    async with driver(behaviour=Behaviour(latency_ms={"start": 10_000.0})) as hypervisor:
        starting = asyncio.create_task(hypervisor.start(spec()))
        await asyncio.sleep(0.01)
        assert starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert await hypervisor.list_domains() == []


async def test_a_full_host_rejects_what_needs_memory_and_nothing_else(
    driver: Driver, spec: Spec, mark: Mark, tmp_path: Path
) -> None:
    async with driver() as hypervisor:
        await hypervisor.start(spec())
        outside.behave(tmp_path, "host-1", FULL)
        await asyncio.sleep(0.11)
        await hypervisor.start(spec(generation=2))
        await hypervisor.pause(ID, mark(generation=2))
        await hypervisor.start(spec(generation=3))
        await hypervisor.suspend(ID, mark(generation=3))
        with pytest.raises(DomainRejected, match="no memory left"):
            await hypervisor.start(spec(generation=4))


@pytest.mark.parametrize("seed", range(4))
async def test_an_unanswered_call_ends_in_time_and_may_have_happened(
    driver: Driver, spec: Spec, seed: int
) -> None:
    async with driver(behaviour=NEVER_ANSWERS, timeout_seconds=0.05, seed=seed) as hypervisor:
        began = time.monotonic()
        with pytest.raises(HypervisorUnavailable, match=r"did not answer start within 0\.05 s"):
            await hypervisor.start(spec())
        assert 0.04 < time.monotonic() - began < 2.0
    async with driver() as witness:
        assert len(await witness.list_domains()) in (0, 1)


async def test_both_fates_of_an_unanswered_call_occur(driver: Driver, spec: Spec) -> None:
    happened = set()
    for seed in range(16):
        host = f"host-{seed}"
        mute = driver(host, behaviour=NEVER_ANSWERS, timeout_seconds=0.001, seed=seed)
        async with mute as hypervisor, driver(host) as witness:
            with pytest.raises(HypervisorUnavailable):
                await hypervisor.start(spec())
            happened.add(await witness.find(ID) is not None)
    assert happened == {True, False}


async def test_a_latency_beyond_the_timeout_is_no_answer(driver: Driver, spec: Spec) -> None:
    behaviour = Behaviour(latency_ms={"start": 5000.0})
    async with driver(behaviour=behaviour, timeout_seconds=0.02) as hypervisor:
        with pytest.raises(HypervisorUnavailable, match="did not answer"):
            await hypervisor.start(spec())
        assert await hypervisor.find(ID) is None


async def test_failures_come_at_their_rate_repeatably_and_change_nothing(
    driver: Driver, spec: Spec
) -> None:
    async def failures(host: str, seed: int) -> list[int]:
        failed = []
        async with driver(host, behaviour=FAILING, seed=seed) as hypervisor:
            for number in range(300):
                try:
                    await hypervisor.find(ID)
                except HypervisorUnavailable:
                    failed.append(number)
        return failed

    first = await failures("host-1", seed=1)
    assert 30 < len(first) < 90
    assert await failures("host-1", seed=1) == first
    assert await failures("host-1", seed=2) != first

    never = Behaviour(unavailable_rate={"start": 1.0})
    async with driver("host-2", behaviour=never) as hypervisor:
        with pytest.raises(TransientError):
            await hypervisor.start(spec())
        assert await hypervisor.list_domains() == []


async def test_a_rejection_can_be_asked_for(driver: Driver, spec: Spec, mark: Mark) -> None:
    async with driver(behaviour=Behaviour(rejected_rate={"any": 1.0, "start": 0})) as hypervisor:
        await hypervisor.start(spec())
        with pytest.raises(DomainRejected, match="rejects stop, as it was told to"):
            await hypervisor.stop(ID, mark())


async def test_a_running_host_takes_on_other_manners_and_gives_them_up(
    driver: Driver, spec: Spec, tmp_path: Path
) -> None:
    path = tmp_path / "host-1" / "behaviour.json"
    async with driver() as hypervisor:
        path.write_text('{"rejected_rate": {"find": 1}}')
        await _until_find(hypervisor, fails=True)
        path.write_text("{broken")
        await asyncio.sleep(0.11)
        await _until_find(hypervisor, fails=True)
        path.unlink()
        await _until_find(hypervisor, fails=False)


async def _until_find(hypervisor: SimulatedHypervisor, *, fails: bool) -> None:
    deadline = time.monotonic() + 5
    while True:
        try:
            await hypervisor.find(ID)
            failed = False
        except DomainRejected:
            failed = True
        if failed is fails:
            return
        assert time.monotonic() < deadline, f"find {'fails' if failed else 'works'} still"
        await asyncio.sleep(0.01)


async def test_a_file_changes_only_what_it_names(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "host-1").mkdir()
    (tmp_path / "host-1" / "behaviour.json").write_text('{"latency_ms": {"any": 1}}')
    base = Behaviour(rejected_rate={"find": 1.0})
    async with driver(behaviour=base) as hypervisor:
        with pytest.raises(DomainRejected):
            await hypervisor.find(ID)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ('{"hang_rate": {"strat": 1}}', "hang_rate: no operation 'strat'"),
        ('{"hang_rate": {"start": 1.5}}', "hang_rate.start is 1.5; it must be"),
        ('{"latency_ms": {"start": -1}}', "latency_ms.start is -1"),
        ('{"boot_seconds": -1}', "boot_seconds is -1"),
        ('{"latency": 3}', "unknown field `latency`"),
    ],
)
def test_senseless_manners_are_refused_by_name(document: str, sentence: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=sentence):
        msgspec.json.decode(document, type=Behaviour)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_each_preset_can_be_written_as_a_file(name: str) -> None:
    encoded = msgspec.json.encode(PRESETS[name])
    assert msgspec.json.decode(encoded, type=Behaviour) == PRESETS[name]


def test_the_slow_preset_is_slow() -> None:
    assert SLOW.latency_ms["start"] > 1000
