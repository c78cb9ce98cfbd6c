from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from real_parts import missing_programs, require

from stratuslab.cloud.images import bring_in, newest
from stratuslab.core.errors import ConfigurationError, StratusLabError


@pytest.fixture
def image(tmp_path: Path) -> Path:
    require("qemu-img", missing_programs(["qemu-img", "prlimit"], "qemu-utils util-linux"))
    file = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(file), "1M"], check=True)
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


async def test_an_image_is_copied_under_its_checksum_once(image: Path, folder: Path) -> None:
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    place = await bring_in(image, folder, sha256=digest.upper())
    assert place == folder / f"disk-{digest[:16]}.qcow2"
    assert place.read_bytes() == image.read_bytes()
    assert place.stat().st_mode & 0o777 == 0o644
    inode = place.stat().st_ino
    assert await bring_in(image, folder) == place
    assert place.stat().st_ino == inode
    assert list(folder.iterdir()) == [place]
    assert newest(folder) == place


async def test_a_damaged_image_is_refused_and_leaves_nothing(image: Path, folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"not {'0' * 64}"):
        await bring_in(image, folder, sha256="0" * 64)
    assert list(folder.iterdir()) == []


@pytest.fixture
def overlay(image: Path, tmp_path: Path) -> Path:
    overlay = tmp_path / "overlay.qcow2"
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image), "-F", "qcow2"]
    subprocess.run([*command, str(overlay)], check=True)
    return overlay


async def test_an_image_that_leads_to_other_files_is_refused(overlay: Path, folder: Path) -> None:
    with pytest.raises(StratusLabError, match="backing file"):
        await bring_in(overlay, folder)
    assert list(folder.iterdir()) == []


async def test_missing_files_and_missing_folders_are_one_clear_line(
    image: Path, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="There is no image"):
        await bring_in(tmp_path / "none.qcow2", folder)
    with pytest.raises(ConfigurationError, match="No such file"):
        await bring_in(image, tmp_path / "nowhere")


def test_without_images_there_is_no_newest(folder: Path) -> None:
    (folder / ".half.new").touch()
    assert newest(folder) is None
