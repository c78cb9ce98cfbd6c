"""The recipe: what it makes, when it does nothing, and what it says when it cannot work."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
RECIPE = TOP / "cloud/guest-image"
CACHE = TOP / "build/cache/guest-image"

pytestmark = pytest.mark.qemu


def build(
    *arguments: str | Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, RECIPE / "build", *arguments],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip


@pytest.fixture
def apt_without_lists(tmp_path: Path) -> dict[str, str]:
    """An environment in which apt knows no package and reaches no mirror."""
    lists = tmp_path / "lists"
    lists.mkdir()
    configuration = tmp_path / "apt.conf"
    configuration.write_text(
        f'Dir::State::lists "{lists}";\nDir::Cache "{tmp_path}";\n'
        'Acquire::http::Proxy "http://127.0.0.1:1";\n'
    )
    return {"PATH": "/usr/bin:/bin", "APT_CONFIG": str(configuration)}


def test_is_small_and_described_by_its_manifest(image: Path) -> None:
    manifest = json.loads(image.with_suffix(".json").read_text())
    assert image.stat().st_size == manifest["size_bytes"] < 40_000_000
    assert any(name.startswith("linux-image-") for name in manifest["packages"])


def test_does_nothing_when_nothing_changed(image: Path) -> None:
    before = image.stat()
    done = build("--output", image, "--cache", CACHE)
    assert "is up to date" in done.stdout
    assert (image.stat().st_ino, image.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_cached_packages_give_the_same_disk_without_network(
    image: Path, apt_without_lists: dict[str, str], tmp_path: Path
) -> None:
    again = tmp_path / "again.qcow2"
    done = build("--output", again, "--cache", CACHE, environment=apt_without_lists)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads(path.with_suffix(".json").read_text()) for path in (image, again))
    assert first["packages"] == second["packages"]
    compared = subprocess.run(["qemu-img", "compare", "-q", image, again], check=False)
    assert compared.returncode == 0


def test_missing_package_lists_are_told_with_the_command_that_mends_it(
    apt_without_lists: dict[str, str], tmp_path: Path
) -> None:
    done = build(
        "--output", tmp_path / "a.qcow2", "--cache", tmp_path / "c", environment=apt_without_lists
    )
    assert done.returncode == 1
    assert done.stderr.startswith("guest-image: apt knows no package linux-image-cloud-amd64")
    assert done.stderr.rstrip().endswith("run: sudo apt-get update")
    assert done.stderr.count("\n") == 1


def test_damaged_package_in_the_cache_is_not_used(
    image: Path, apt_without_lists: dict[str, str], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(CACHE, cache)
    next(cache.glob("dropbear-bin_*.deb")).write_bytes(b"damaged")
    done = build("--output", tmp_path / "a.qcow2", "--cache", cache, environment=apt_without_lists)
    assert done.returncode == 1
    assert "apt-get update" in done.stderr


def test_tools_list_for_the_makefile_is_what_the_build_checks() -> None:
    listed = {
        line
        for line in (RECIPE / "packages.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    code = "from guest_recipe.commands import PACKAGE_OF_TOOL as p; print(*sorted(set(p.values())))"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=RECIPE, capture_output=True, text=True, check=True
    )
    assert {*done.stdout.split(), "syslinux-common"} == listed
