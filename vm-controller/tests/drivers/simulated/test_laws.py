"""Whatever is done in whatever order, the host is as a simple model says."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from stratuslab.core.errors import StratusLabError
from stratuslab.vm_controller.drivers.base import (
    Domain,
    DomainMark,
    DomainNotFound,
    DomainRejected,
    DomainSpec,
    DomainState,
    GuestInterface,
    StopReason,
)
from stratuslab.vm_controller.drivers.simulated import (
    Behaviour,
    SimulatedHypervisor,
    check_journals,
    fold,
    outside,
    read_host,
)
from stratuslab.vm_controller.drivers.simulated.journal import Event, Happening, encode
from stratuslab.vm_controller.drivers.simulated.journal_file import journal_numbers, journal_path

RUNNING, PAUSED = DomainState.RUNNING, DomainState.PAUSED
SUSPENDED, STOPPED = DomainState.SUSPENDED, DomainState.STOPPED
IDS = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"]
AT_ONCE = Behaviour(boot_seconds=0.0, shutdown_seconds=0.0)


@dataclass(frozen=True)
class Step:
    """One thing that is done: by which of two drivers, how often, after how much of a torn line."""

    action: str
    id: str = IDS[0]
    fence: int = 1
    generation: int = 1
    driver: int = 0
    times: int = 1
    torn_bytes: int = 0
    reopened: bool = False

    @property
    def mark(self) -> DomainMark:
        return DomainMark(cloud_id="cloud", generation=self.generation, fence=self.fence)


@dataclass(frozen=True)
class ModelDomain:
    state: DomainState
    mark: DomainMark
    reason: StopReason | None = None
    pressed: bool = False


class Model:
    """What a host is, in as few words as possible."""

    def __init__(self) -> None:
        self.domains: dict[str, ModelDomain] = {}

    def do(self, step: Step) -> type[Exception] | None:
        """Do it; the error that is due instead."""
        if step.action == "reboot":
            for id, domain in self.domains.items():
                if domain.state in (RUNNING, PAUSED):
                    self.domains[id] = _stopped(domain, StopReason.HOST_REBOOT)
            return None
        if step.action == "remove":
            self.domains.pop(step.id, None)
            return None
        domain = self.domains.get(step.id)
        if step.action in ("halt", "crash"):
            if domain is None:
                return DomainNotFound
            if domain.state is not RUNNING:
                return DomainRejected
            reason = StopReason.GUEST if step.action == "halt" else StopReason.CRASH
            self.domains[step.id] = _stopped(domain, reason)
            return None
        if domain is None:
            if step.action != "start":
                return DomainNotFound
            self.domains[step.id] = ModelDomain(RUNNING, step.mark)
            return None
        held = (domain.mark.fence, domain.mark.generation)
        if (step.fence, step.generation) < held:
            return DomainRejected
        self.domains[step.id] = _ordered(replace(domain, mark=step.mark), step.action)
        return None


def _stopped(domain: ModelDomain, reason: StopReason) -> ModelDomain:
    return replace(domain, state=STOPPED, reason=reason, pressed=False)


def _ordered(domain: ModelDomain, action: str) -> ModelDomain:
    match action, domain.state:
        case "start", state if state is STOPPED:
            return ModelDomain(RUNNING, domain.mark)
        case "start", state if state is not RUNNING:
            awake = replace(domain, state=RUNNING)
            return _stopped(awake, StopReason.REQUESTED) if domain.pressed else awake
        case "pause", state if state is RUNNING:
            return replace(domain, state=PAUSED)
        case "suspend", state if state in (RUNNING, PAUSED):
            return replace(domain, state=SUSPENDED)
        case "shutdown", state if state is RUNNING:
            return _stopped(domain, StopReason.REQUESTED)
        case "shutdown", state if state is PAUSED:
            return replace(domain, pressed=True)
        case "stop", state if state is not STOPPED:
            return _stopped(domain, StopReason.REQUESTED)
        case _:
            return domain


ACTIONS = ["start", "pause", "suspend", "shutdown", "stop", "mark", "remove"]
steps = st.builds(
    Step,
    action=st.sampled_from([*ACTIONS, "start", "start", "halt", "crash", "reboot"]),
    id=st.sampled_from(IDS),
    fence=st.integers(1, 3),
    generation=st.integers(1, 3),
    driver=st.integers(0, 1),
    times=st.integers(1, 2),
    torn_bytes=st.just(0) | st.integers(1, 120),
    reopened=st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(script=st.lists(steps, max_size=25), limit_bytes=st.sampled_from([1500, 1_000_000]))
@example(
    script=[Step("start"), Step("pause"), Step("shutdown"), Step("suspend"), Step("start")],
    limit_bytes=1_000_000,
)
def test_a_host_is_as_the_model_says(script: list[Step], limit_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_play(Path(folder), script, limit_bytes))


async def _play(folder: Path, script: list[Step], limit_bytes: int) -> None:
    model = Model()
    async with AsyncExitStack() as stack:

        async def opened() -> SimulatedHypervisor:
            driver = SimulatedHypervisor(
                folder,
                "host",
                cpu_count=1,
                memory_kib=1024,
                behaviour=AT_ONCE,
                journal_limit_bytes=limit_bytes,
            )
            return await stack.enter_async_context(driver)

        drivers = [await opened(), await opened()]
        for step in script:
            _tear(folder, step.torn_bytes)
            if step.reopened:
                drivers[step.driver] = await opened()
            for _ in range(step.times):
                due = model.do(step)
                assert await _outcome(folder, drivers[step.driver], step) is due, step
            expected = {id: _shown(id, domain) for id, domain in model.domains.items()}
            for driver in drivers:
                seen = {domain.id: domain for domain in await driver.list_domains()}
                assert seen == expected, step
            assert _folded(folder) == expected
    breaches = [line for line in check_journals(folder) if "under fence" not in line]
    assert breaches == [], "fences may go down only where a removed domain was forgotten"


async def _outcome(
    folder: Path, driver: SimulatedHypervisor, step: Step
) -> type[StratusLabError] | None:
    try:
        await _act(folder, driver, step)
    except (DomainNotFound, DomainRejected) as error:
        return type(error)
    return None


async def _act(folder: Path, driver: SimulatedHypervisor, step: Step) -> None:
    match step.action:
        case "start":
            await driver.start(_spec(step))
        case "remove":
            await driver.remove(step.id)
        case "halt":
            outside.halt(folder, "host", step.id)
        case "crash":
            outside.crash(folder, "host", step.id)
        case "reboot":
            outside.reboot_host(folder, "host")
        case ordered:
            await getattr(driver, ordered)(step.id, step.mark)


def _spec(step: Step) -> DomainSpec:
    return DomainSpec(
        id=step.id,
        name="machine",
        cpu=1,
        memory_kib=1,
        disks=(),
        interface=GuestInterface(mac="52:54:00:00:00:01"),
        console_log=Path("/nowhere"),
        mark=step.mark,
    )


def _shown(id: str, domain: ModelDomain) -> Domain:
    return Domain(
        id=id,
        name="machine",
        state=domain.state,
        stop_reason=domain.reason if domain.state is STOPPED else None,
        mark=domain.mark,
    )


def _folded(folder: Path) -> dict[str, Domain]:
    lines = _journal(folder).read_bytes().split(b"\n")[:-1]
    return {id: domain.seen(time.time()) for id, domain in fold(lines).items()}


def _journal(folder: Path) -> Path:
    return journal_path(folder / "host", journal_numbers(folder / "host")[-1])


def _tear(folder: Path, torn_bytes: int) -> None:
    """Leave what a process leaves that was killed, or had no room, in the middle of a line."""
    if torn_bytes:
        line = _line_after(folder)
        with _journal(folder).open("ab") as journal:
            journal.write(line[: min(torn_bytes, len(line) - 2)])


def _line_after(folder: Path, **more: Any) -> bytes:
    sequence = read_host(folder, "host").sequence + 1
    return encode(Happening(sequence=sequence, event=Event.REMOVED, id=IDS[0], **more))


def test_a_journal_cut_anywhere_is_that_of_an_earlier_moment(tmp_path: Path) -> None:
    script = [Step("start"), Step("pause"), Step("start", id=IDS[1], driver=1), Step("stop")]
    asyncio.run(_play(tmp_path, script, 1_000_000))
    whole = (tmp_path / "host" / "journal.1.jsonl").read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole) + 1):
        at_full_line = max((end for end in ends if end <= cut), default=0)
        expected = fold(whole[:at_full_line].splitlines(keepends=True))
        folder = tmp_path / f"cut-{cut}"
        (folder / "host").mkdir(parents=True)
        (folder / "host" / "journal.1.jsonl").write_bytes(whole[:cut])
        assert read_host(folder, "host").domains == expected
        if cut % 7 == 0:
            asyncio.run(_goes_on(folder))


async def _goes_on(folder: Path) -> None:
    async with SimulatedHypervisor(folder, "host", cpu_count=1, memory_kib=1024) as driver:
        await driver.start(_spec(Step("start", fence=9)))
    assert read_host(folder, "host").domains[IDS[0]].state is RUNNING
    assert check_journals(folder) == []
