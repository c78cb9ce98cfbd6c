"""The journal's rotation: nobody loses a domain or a line by it, wherever it is cut short."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stratuslab.vm_controller.drivers.base import (
    DomainMark,
    DomainSpec,
    DomainState,
    HypervisorUnavailable,
)
from stratuslab.vm_controller.drivers.simulated import (
    SimulatedHypervisor,
    check_journals,
    read_host,
    read_journal,
)
from stratuslab.vm_controller.drivers.simulated.journal import Event, Happening, encode
from stratuslab.vm_controller.drivers.simulated.journal_file import journal_numbers, journal_path

ID = "0b8f6a1e-6a3d-4c3b-9a55-0d6c9f5d2f01"
LIMIT_BYTES = 20_000

Driver = Callable[..., SimulatedHypervisor]
Spec = Callable[..., DomainSpec]
Mark = Callable[..., DomainMark]


async def write_much(
    hypervisor: SimulatedHypervisor, mark: Mark, first: int, count: int = 40
) -> None:
    for generation in range(first, first + count):
        await hypervisor.mark(ID, mark(generation=generation))


async def test_the_journal_keeps_its_size_and_the_file_before(
    driver: Driver, spec: Spec, mark: Mark, tmp_path: Path
) -> None:
    folder = tmp_path / "host-1"
    async with driver(journal_limit_bytes=LIMIT_BYTES) as hypervisor:
        started = await hypervisor.start(spec())
        await write_much(hypervisor, mark, 2, 500)
        assert await hypervisor.find(ID) is not None
    sizes = [journal_path(folder, number).stat().st_size for number in journal_numbers(folder)]
    assert len(sizes) > 3
    assert max(sizes) < LIMIT_BYTES + 1000
    assert max(sizes[:-2]) < 100, "older files are but graves"
    assert len(list(folder.iterdir())) == len(sizes), "nothing else is left behind"
    history = read_journal(tmp_path, "host-1")
    numbers = [happening.sequence for happening in history]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert check_journals(tmp_path) == []
    async with driver() as successor:
        assert [domain.id for domain in await successor.list_domains()] == [started.id]


async def test_the_number_of_files_is_bounded(
    driver: Driver, spec: Spec, mark: Mark, tmp_path: Path
) -> None:
    async with driver(journal_limit_bytes=1500) as hypervisor:
        await hypervisor.start(spec())
        await write_much(hypervisor, mark, 2, 1000)
    assert len(journal_numbers(tmp_path / "host-1")) <= 67


async def test_a_journal_full_of_living_domains_is_not_rotated(
    driver: Driver, spec: Spec, tmp_path: Path
) -> None:
    async with driver(journal_limit_bytes=1000) as hypervisor:
        for number in range(20):
            await hypervisor.start(spec(f"0b8f6a1e-6a3d-4c3b-9a55-{number:012}"))
    assert journal_numbers(tmp_path / "host-1") == [1]


async def test_who_slept_through_many_rotations_finds_the_file_in_use(
    driver: Driver, spec: Spec, mark: Mark, tmp_path: Path
) -> None:
    async with driver() as sleeper, driver(journal_limit_bytes=1500) as hypervisor:
        await hypervisor.start(spec())
        await sleeper.find(ID)
        await write_much(hypervisor, mark, 2, 1000)
        domain = await sleeper.pause(ID, mark(generation=2000))
        assert await hypervisor.find(ID) == domain


async def test_others_follow_a_rotation(driver: Driver, spec: Spec, mark: Mark) -> None:
    async with driver(journal_limit_bytes=LIMIT_BYTES) as one, driver() as two:
        await one.start(spec())
        events = two.events()
        await write_much(one, mark, 2, 300)
        await one.pause(ID, mark(generation=400))
        found = await two.find(ID)
        assert found is not None
        assert found.state is DomainState.PAUSED
        assert found.mark is not None
        assert found.mark.generation == 400
        await two.stop(ID, mark(generation=401))
        found = await one.find(ID)
        assert found is not None
        assert found.state is DomainState.STOPPED
        whats = [(await anext(events)).what for _ in range(3)]
        assert whats == ["started", "resynchronised", "stopped"]


@pytest.mark.parametrize("linked", [False, True])
async def test_a_rotation_that_was_cut_short_is_finished_by_the_next(
    driver: Driver, spec: Spec, mark: Mark, tmp_path: Path, linked: bool
) -> None:
    folder = tmp_path / "host-1"
    async with driver() as bystander:
        async with driver() as hypervisor:
            await hypervisor.start(spec())
            await write_much(hypervisor, mark, 2)
        state = read_host(tmp_path, "host-1")
        closing = Happening(sequence=state.sequence + 1, event=Event.CLOSED)
        with journal_path(folder, 1).open("ab") as journal:
            journal.write(encode(closing))
        if linked:
            state.apply(closing)
            journal_path(folder, 2).write_bytes(encode(state.compacted()))
        assert len(read_journal(tmp_path, "host-1")) >= 42

        await bystander.stop(ID, mark(generation=50))
        async with driver() as successor:
            found = await successor.find(ID)
            assert found is not None
            assert found.state is DomainState.STOPPED
    assert journal_numbers(folder) == [1, 2]
    history = read_journal(tmp_path, "host-1")
    assert [line.sequence for line in history] == list(range(1, 45)), (
        "boot, start, 40 marks, close, stop"
    )
    assert check_journals(tmp_path) == []


async def test_a_host_whose_folder_vanished_is_unavailable(
    driver: Driver, spec: Spec, tmp_path: Path
) -> None:
    async with driver() as hypervisor:
        await hypervisor.start(spec())
        (tmp_path / "host-1" / "journal.1.jsonl").unlink()
        with pytest.raises(HypervisorUnavailable, match="There is no simulated host"):
            await hypervisor.find(ID)
