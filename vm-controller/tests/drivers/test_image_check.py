"""An image is used only when it stands alone and lies where images lie."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from real_parts import missing_programs, require

from stratuslab.vm_controller.drivers.base import DomainRejected
from stratuslab.vm_controller.drivers.image_check import ImageChecker

SIZE = 1 << 20


@pytest.fixture(autouse=True)
def _needs_qemu_img() -> None:
    require("qemu-img", missing_programs(["qemu-img", "prlimit"], "qemu-utils util-linux"))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


def qemu_img(*arguments: str | Path) -> None:
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True)


async def test_qcow2_and_raw_are_taken_by_path_and_by_uri(images: Path) -> None:
    qemu_img("create", "-f", "qcow2", images / "a b.qcow2", str(SIZE))
    (images / "plain.raw").write_bytes(bytes(SIZE))
    checker = ImageChecker([images])
    by_uri = await checker.check(f"{images.as_uri()}/a%20b.qcow2")
    by_path = await checker.check(str(images / "plain.raw"))
    assert (by_uri.format, by_uri.virtual_size_bytes) == ("qcow2", SIZE)
    assert (by_path.format, by_path.path) == ("raw", images / "plain.raw")


def backing(images: Path, outside: Path) -> None:
    qemu_img("create", "-f", "qcow2", "-F", "raw", "-b", outside, images / "bad", str(SIZE))


def data_file(images: Path, outside: Path) -> None:
    options = f"data_file={outside.parent / 'data'},data_file_raw=on"
    qemu_img("create", "-f", "qcow2", "-o", options, images / "bad", str(SIZE))


def other_format(images: Path, outside: Path) -> None:
    qemu_img("create", "-f", "vmdk", images / "bad", str(SIZE))


def link_outside(images: Path, outside: Path) -> None:
    (images / "bad").symlink_to(outside)


def folder(images: Path, outside: Path) -> None:
    (images / "bad").mkdir()


def broken(images: Path, outside: Path) -> None:
    (images / "bad").write_bytes(b"QFI\xfb\x00\x00\x00\x03" + b"\xff" * 500)


def absent(images: Path, outside: Path) -> None:
    pass


@pytest.mark.parametrize(
    "make", [backing, data_file, other_format, link_outside, folder, broken, absent]
)
async def test_what_does_not_stand_alone_in_its_folder_is_refused(
    images: Path, tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    outside = tmp_path / "secret.raw"
    outside.write_bytes(bytes(SIZE))
    make(images, outside)
    with pytest.raises(DomainRejected):
        await ImageChecker([images]).check(str(images / "bad"))


@pytest.mark.parametrize(
    "location",
    [
        "http://example.org/image.qcow2",
        "file://elsewhere/image.qcow2",
        "image.qcow2",
        "",
        "/etc/hostname",
        "file:///etc/hostname",
        "json:{}",
    ],
)
async def test_other_locations_are_refused(images: Path, location: str) -> None:
    with pytest.raises(DomainRejected):
        await ImageChecker([images]).check(location)


async def test_dots_do_not_lead_out_of_the_folder(images: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.raw").write_bytes(bytes(SIZE))
    with pytest.raises(DomainRejected, match="does not lie"):
        await ImageChecker([images]).check(f"{images}/../secret.raw")


async def test_a_changed_image_is_looked_at_again(images: Path, tmp_path: Path) -> None:
    image = images / "image"
    image.write_bytes(bytes(SIZE))
    checker = ImageChecker([images])
    before = await checker.check(str(image))
    assert await checker.check(str(image)) is before
    image.rename(tmp_path / "outside.raw")
    backing(images, tmp_path / "outside.raw")
    (images / "bad").rename(image)
    with pytest.raises(DomainRejected, match="stand alone"):
        await checker.check(str(image))


async def test_many_checks_at_once_agree(images: Path) -> None:
    (images / "image").write_bytes(bytes(SIZE))
    checker = ImageChecker([images])
    found = await asyncio.gather(*(checker.check(str(images / "image")) for _ in range(5)))
    assert set(found) == {found[0]}
