from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stratuslab.cloud.__main__ import COMMANDS, main


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stratuslab.cloud", *arguments],
        capture_output=True, text=True, timeout=30, check=False, cwd=cwd,
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"stratuslab {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["up", "--port", "0"],
        ["up", "--port", "http"],
        ["up", "--hosts", "0"],
        ["up", "--hypervisor", "xen"],
        ["up", "--once"],
        ["up", "--guest", "--once", "--detach"],
        ["up", "--guest", "--image", "/no/such/image"],
        ["image"],
        ["dlq", "replay"],
        ["host", "drain"],
        ["host", "dance"],
        ["doctor", "--need", "luck"],
    ],
)
def test_wrong_usage_is_told_with_status_two(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: stratuslab" in capsys.readouterr().err


def test_failures_are_one_line_and_status_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["status"], ["image", "import", "x.qcow2"], ["dlq", "list"], ["host", "list"]):
        assert main([*command, "--data", str(tmp_path / "none")]) == 1
        line = capsys.readouterr().err
        assert line.startswith("stratuslab: ")
        assert line.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_down_without_a_cloud_is_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["down", "--data", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out == f"There is no cloud in {tmp_path / 'none'}.\n"


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("StratusLab 26.")


def test_whoever_stops_reading_gets_no_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} -m stratuslab.cloud doctor --data {tmp_path} | true"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stderr == ""


def test_the_doctor_speaks_to_scripts_too(tmp_path: Path) -> None:
    import json

    done = run("doctor", "--data", str(tmp_path), "--json")
    found = {each["name"]: each for each in json.loads(done.stdout)}
    assert found["Python"]["ok"]
    needed = [each for each in found.values() if each["need"] == "cloud" and not each["ok"]]
    assert done.returncode == (1 if needed else 0)
    assert run("doctor", "--data", str(tmp_path), "--quiet").stdout == ""


def test_the_doctors_verdict_depends_on_what_is_needed(tmp_path: Path) -> None:
    long = str(tmp_path / ("x" * 100))
    assert run("doctor", "--data", long, "--quiet").returncode == 1
