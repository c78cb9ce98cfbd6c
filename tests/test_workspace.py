"""Traps of a namespace spread over folders, each of which once cost somebody a day."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MEMBERS: list[str] = PROJECT["tool"]["stratuslab"]["members"]


def test_no_regular_package_hides_the_other_portions_of_the_namespace() -> None:
    assert list(ROOT.glob("*/src/stratuslab/__init__.py")) == []


def test_every_source_folder_is_a_member_and_mapped_everywhere() -> None:
    folders = sorted(path.parent.name for path in ROOT.glob("*/src"))
    assert folders == sorted(MEMBERS)
    build = PROJECT["tool"]["hatch"]["build"]
    assert build["dev-mode-dirs"] == [f"{member}/src" for member in MEMBERS]
    packages = build["targets"]["wheel"]["packages"]
    assert packages == [f"{member}/src/stratuslab" for member in MEMBERS]
    assert PROJECT["tool"]["mypy"]["mypy_path"] == [f"{member}/src" for member in MEMBERS]
    assert PROJECT["tool"]["ruff"]["src"] == [f"{member}/src" for member in MEMBERS]
    linted = (ROOT / ".importlinter").read_text()
    for package in ROOT.glob("*/src/stratuslab/*/__init__.py"):
        assert f"stratuslab.{package.parent.name}" in linted


@pytest.mark.parametrize("member", MEMBERS)
def test_members_have_what_every_service_has(member: str) -> None:
    folder = ROOT / member
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["version"] == PROJECT["project"]["version"]
    assert (folder / "README.md").is_file()
    assert list(folder.glob("src/stratuslab/*/py.typed"))


def test_every_package_in_the_dependency_lists_says_why_it_is_there() -> None:
    for member in MEMBERS:
        lines = (ROOT / member / "pyproject.toml").read_text().splitlines()
        needs = [line.strip() for line in lines if line.startswith('    "')]
        for need in needs:
            own = need.startswith('"stratuslab-')
            development = "dev" in member or need.split(">")[0].strip('",') in DEVELOPMENT
            assert own or development or "#" in need or need.startswith('"aiohttp'), (member, need)


DEVELOPMENT = {
    "hypothesis",
    "import-linter",
    "jsonschema",
    "mypy",
    "psutil",
    "pytest",
    "pytest-aiohttp",
    "pytest-asyncio",
    "pytest-timeout",
    "pytest-xdist",
    "ruff",
    "towncrier",
    "types-aiofiles",
}
