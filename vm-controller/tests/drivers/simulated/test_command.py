"""The command with which people play fate on a simulated host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stratuslab.vm_controller.drivers.base import DomainSpec, DomainState, StopReason
from stratuslab.vm_controller.drivers.simulated import SimulatedHypervisor, read_host
from stratuslab.vm_controller.drivers.simulated.__main__ import main

ID = "0b8f6a1e-6a3d-4c3b-9a55-0d6c9f5d2f01"

Driver = Callable[..., SimulatedHypervisor]
Spec = Callable[..., DomainSpec]


@pytest.fixture
async def running(driver: Driver, spec: Spec) -> None:
    async with driver() as hypervisor:
        await hypervisor.start(spec(name="blue"))


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (["halt", ID], StopReason.GUEST),
        (["crash", ID], StopReason.CRASH),
        (["reboot-host"], StopReason.HOST_REBOOT),
    ],
)
def test_fate_strikes(running: None, tmp_path: Path, action: list[str], reason: StopReason) -> None:
    assert main([str(tmp_path), "host-1", *action]) == 0
    domain = read_host(tmp_path, "host-1").domains[ID]
    assert (domain.state, domain.stop_reason) == (DomainState.STOPPED, reason)


def test_the_list_shows_ids_states_reasons_and_names(
    running: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(tmp_path), "host-1", "list"])
    assert capsys.readouterr().out == f"{ID} running - blue\n"


def test_only_what_runs_can_halt(
    running: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "host-1", "crash", ID]) == 0
    assert main([str(tmp_path), "host-1", "halt", ID]) == 1
    assert "cannot power itself off: it is stopped" in capsys.readouterr().err


@pytest.mark.parametrize("action", [["list"], ["behave", "slow"], ["halt", ID]])
def test_a_host_that_is_none_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], action: list[str]
) -> None:
    assert main([str(tmp_path), "host-9", *action]) == 1
    assert "There is no simulated host" in capsys.readouterr().err
    assert not (tmp_path / "host-9").exists()


def test_manners_come_and_go(running: None, tmp_path: Path) -> None:
    path = tmp_path / "host-1" / "behaviour.json"
    assert main([str(tmp_path), "host-1", "behave", "never-answers"]) == 0
    assert '"any": 1.0' in path.read_text()
    assert main([str(tmp_path), "host-1", "behave", "normal"]) == 0
    assert not path.exists()


def test_a_foreign_domain_can_be_started(
    running: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "host-1", "start-foreign", "mine"]) == 0
    id = capsys.readouterr().out.strip()
    assert read_host(tmp_path, "host-1").domains[id].mark is None


def test_the_check_tells_breaches_by_its_exit_code(
    running: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "host-1", "check"]) == 0
    journal = (tmp_path / "host-1" / "journal.1.jsonl").read_bytes()
    (tmp_path / "host-2").mkdir()
    (tmp_path / "host-2" / "journal.1.jsonl").write_bytes(journal)
    assert main([str(tmp_path), "host-1", "check"]) == 1
    assert f"domain {ID} was started while running on host-1" in capsys.readouterr().out
