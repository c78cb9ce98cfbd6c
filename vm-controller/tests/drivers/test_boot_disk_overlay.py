"""Overlays and local disks: complete or absent, kept when they exist, gone when released."""

from __future__ import annotations

import subprocess
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from real_parts import missing_programs, require

from stratuslab.core.contracts.machine import DiskSpec
from stratuslab.core.errors import Unavailable
from stratuslab.vm_controller.drivers.base import DomainRejected
from stratuslab.vm_controller.drivers.boot_disk_overlay import OverlayBootDisks

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _needs_qemu_img() -> None:
    require("qemu-img", missing_programs(["qemu-img", "prlimit"], "qemu-utils util-linux"))


@pytest.fixture
def image(tmp_path: Path) -> str:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "image.raw").write_bytes(b"boot" + bytes(2 * MIB - 4))
    return str(folder / "image.raw")


@pytest.fixture
def disks(tmp_path: Path) -> OverlayBootDisks:
    return OverlayBootDisks(tmp_path / "machines", [tmp_path / "images"])


@pytest.fixture
def id() -> str:
    return str(uuid4())


def info(path: Path) -> dict[str, object]:
    output = subprocess.run(
        ["qemu-img", "info", "--output=json", str(path)], check=True, capture_output=True
    ).stdout
    found: dict[str, object] = msgspec.json.decode(output)
    return found


def signature(path: Path) -> str:
    """What `blkid` finds on a disk."""
    command = ["blkid", "-p", "-o", "value", "-s", "TYPE", str(path)]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


async def test_the_boot_disk_is_an_overlay_that_knows_its_images_format(
    disks: OverlayBootDisks, image: str, id: str
) -> None:
    disk = await disks.prepare(id, image)
    described = info(disk.path)
    assert disk.format == described["format"] == "qcow2"
    assert not disk.read_only
    assert described["full-backing-filename"] == image
    assert described["backing-filename-format"] == "raw"
    assert described["virtual-size"] == 2 * MIB


async def test_a_repeat_keeps_the_disk_even_when_the_image_is_gone(
    disks: OverlayBootDisks, image: str, id: str
) -> None:
    first = await disks.prepare(id, image)
    inode = first.path.stat().st_ino
    Path(image).unlink()
    assert await disks.prepare(id, image) == first
    assert first.path.stat().st_ino == inode


async def test_half_a_disk_of_an_interrupted_attempt_is_replaced(
    disks: OverlayBootDisks, image: str, id: str, tmp_path: Path
) -> None:
    folder = tmp_path / "machines" / id
    folder.mkdir(parents=True)
    (folder / "boot.qcow2.new").write_bytes(b"half")
    disk = await disks.prepare(id, image)
    assert info(disk.path)["virtual-size"] == 2 * MIB
    assert list(folder.iterdir()) == [disk.path]


@pytest.mark.parametrize("bad", ["../escape", "", "0B8F6A1E-6A3D-4C3B-9A55-0D6C9F5D2F01", "x"])
async def test_only_an_id_names_a_folder(disks: OverlayBootDisks, image: str, bad: str) -> None:
    for call in (disks.prepare(bad, image), disks.release(bad)):
        with pytest.raises(DomainRejected, match="lower-case UUID"):
            await call


async def test_local_disks_are_sparse_and_as_described(disks: OverlayBootDisks, id: str) -> None:
    blank = await disks.prepare_data(id, 0, DiskSpec(capacity_bytes=100 * MIB))
    swap = await disks.prepare_data(id, 1, DiskSpec(capacity_bytes=100 * MIB, format="swap"))
    ext4 = await disks.prepare_data(id, 2, DiskSpec(capacity_bytes=100 * MIB, format="ext4"))
    for disk in (blank, swap, ext4):
        assert disk.path.stat().st_size == 100 * MIB
        assert disk.path.stat().st_blocks * 512 < 10 * MIB
        assert disk.format == "raw"
    assert [signature(disk.path) for disk in (blank, swap, ext4)] == ["", "swap", "ext4"]
    assert (blank.serial, swap.serial) == ("data-0", "data-1")


async def test_a_local_disk_can_be_made_from_an_image(
    disks: OverlayBootDisks, image: str, id: str
) -> None:
    disk = await disks.prepare_data(id, 0, DiskSpec(capacity_bytes=4 * MIB, initial_location=image))
    assert info(disk.path)["virtual-size"] == 4 * MIB
    with pytest.raises(DomainRejected, match="cannot hold"):
        await disks.prepare_data(id, 1, DiskSpec(capacity_bytes=MIB, initial_location=image))


@pytest.mark.parametrize(
    "bad",
    [
        DiskSpec(capacity_bytes=0),
        DiskSpec(capacity_bytes=-1),
        DiskSpec(capacity_bytes=1 << 60),
        DiskSpec(capacity_bytes=MIB, format="ntfs; rm -rf /"),
        DiskSpec(capacity_bytes=4096, format="swap"),
    ],
)
async def test_impossible_local_disks_are_refused(
    disks: OverlayBootDisks, id: str, bad: DiskSpec
) -> None:
    with pytest.raises(DomainRejected):
        await disks.prepare_data(id, 0, bad)


async def test_release_leaves_nothing_and_can_be_repeated(
    disks: OverlayBootDisks, image: str, id: str, tmp_path: Path
) -> None:
    await disks.prepare(id, image)
    await disks.prepare_data(id, 0, DiskSpec(capacity_bytes=MIB))
    await disks.release(id)
    await disks.release(id)
    assert list((tmp_path / "machines").iterdir()) == []


async def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path, image: str) -> None:
    (tmp_path / "machines").write_text("a file, not a folder")
    disks = OverlayBootDisks(tmp_path / "machines", [tmp_path / "images"])
    with pytest.raises(Unavailable, match="cannot be written"):
        await disks.prepare(str(uuid4()), image)


async def test_nobody_else_on_the_host_may_read_a_guests_disks(
    disks: OverlayBootDisks, image: str, id: str
) -> None:
    boot = await disks.prepare(id, image)
    data = await disks.prepare_data(id, 0, DiskSpec(capacity_bytes=MIB))
    assert [disk.path.stat().st_mode & 0o777 for disk in (boot, data)] == [0o600, 0o600]
