"""`make install` before anything is installed: plain modules, run by the system's Python."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
INSTALL = ROOT / "cloud" / "install"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, INSTALL / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


packages = load("system_packages")
environment = load("virtual_environment")


def test_lists_are_read_by_group() -> None:
    text = "# why\n[a group]\none  # because\ntwo?\n\n[other]\nthree\n"
    assert packages.read_groups(text) == {"a group": ["one", "two?"], "other": ["three"]}
    assert packages.read_groups("cpio\n") == {packages.IMAGE_GROUP: ["cpio"]}


def test_groups_that_are_not_needed_are_left_out() -> None:
    groups = {"a": ["one"], "b": ["two", "three"]}
    assert packages.wanted(groups, {"a"}) == ["two", "three"]


def test_the_groups_that_the_program_asks_about_exist() -> None:
    groups = packages.read_groups((ROOT / "packages.txt").read_text())
    program = (INSTALL / "__main__.py").read_text()
    for name in ("virtual environment", "libvirt-python", "python headers"):
        assert name in groups
        assert f'"{name}"' in program


def test_a_systemd_libvirt_is_never_pulled_in() -> None:
    names = {name for file in packages.LISTS for name in file.read_text().split()}
    assert "libvirt-daemon-system" not in names


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="dpkg-query is missing: no Debian")
def test_only_packages_that_are_really_missing_are_asked_for() -> None:
    assert packages.missing(["dpkg", "no-such-package-at-all", "nor-this-one?"]) == [
        "no-such-package-at-all"
    ]


def test_the_virtual_environment_is_filled_again_when_a_declaration_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pyproject.toml", "hatch_build.py", "constraints.txt", "core/pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "CONSTRAINTS", tmp_path / "constraints.txt")
    before = environment.declarations()
    assert environment.declarations() == before
    (tmp_path / "core/pyproject.toml").write_text("dependencies = []")
    assert environment.declarations() != before


def test_constraints_name_versions_and_no_places() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) > 40
    assert all("==" in pin and "/" not in pin and "@" not in pin for pin in pins)


def test_an_old_python_is_told_what_it_lacks_instead_of_failing_to_parse() -> None:
    ast.parse((INSTALL / "__main__.py").read_text(), feature_version=(3, 8))
    program = (
        "import runpy, sys; sys.version_info = (3, 9, 2); "
        f"runpy.run_path({str(INSTALL)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Python 3.11 or later is needed" in done.stderr
    assert "make PYTHON=python3.11 install" in done.stderr


def test_make_help_lists_every_target_for_people() -> None:
    done = subprocess.run(
        ["make", "-C", str(ROOT), "--no-print-directory"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    for target in ("help", "install", "up", "test", "test-full", "bench", "image", "lint", "type",
                   "docs", "clean", "down", "status"):  # fmt: skip
        assert f"\n  {target} " in done.stdout
