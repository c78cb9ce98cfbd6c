"""Disks as files on this host: copy-on-write overlays of images, and sparse local disks.

All files of a machine lie in its folder. A file appears under its name only when it is
complete, so what exists is kept and a repeat changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from stratuslab.core.contracts.machine import DiskSpec
from stratuslab.core.errors import Unavailable
from stratuslab.vm_controller.drivers.base import DomainDisk, DomainRejected
from stratuslab.vm_controller.drivers.image_check import CheckedImage, ImageChecker
from stratuslab.vm_controller.drivers.machine_folder import MachineFolders
from stratuslab.vm_controller.drivers.swap_space import swap_header
from stratuslab.vm_controller.external_program import ProgramFailed, run_program

TIMEOUT_SECONDS = 60.0
MAX_DISK_BYTES = 1 << 46
FILE_SYSTEMS: dict[str, tuple[str, ...]] = {
    "ext2": ("mkfs.ext2", "-q", "-F"),
    "ext3": ("mkfs.ext3", "-q", "-F"),
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "vfat": ("mkfs.vfat",),
}
"""Format of a disk → the program that makes it, to be followed by the file."""


class OverlayBootDisks:
    """Implements `BootDisks`. Images must lie below one of `image_folders`."""

    def __init__(
        self, machines: Path, image_folders: Sequence[Path], *, qemu_img: str = "qemu-img"
    ) -> None:
        self._folders = MachineFolders(machines)
        self._images = ImageChecker(image_folders, qemu_img=qemu_img)
        self._qemu_img = qemu_img

    async def prepare(self, machine_id: str, image_location: str) -> DomainDisk:
        """The machine's overlay of the image. An existing one is kept, even without its image:
        a machine is restarted from its own disk."""
        disk = self._folders.made(machine_id) / "boot.qcow2"
        if not disk.exists():
            await self._overlay(disk, await self._images.check(image_location))
        return DomainDisk(path=disk, format="qcow2")

    async def prepare_data(self, machine_id: str, number: int, disk: DiskSpec) -> DomainDisk:
        """A sparse file, blank or with what `disk.format` names; or an overlay of an image."""
        folder = self._folders.made(machine_id)
        if not 0 < disk.capacity_bytes <= MAX_DISK_BYTES:
            raise DomainRejected(
                f"A disk cannot have {disk.capacity_bytes} bytes.",
                hint=f"Possible are 1 to {MAX_DISK_BYTES}.",
            )
        serial = f"data-{number}"
        if disk.initial_location:
            overlay = folder / f"data-{number}.qcow2"
            if not overlay.exists():
                image = await self._images.check(disk.initial_location)
                await self._overlay(overlay, image, disk.capacity_bytes)
            return DomainDisk(path=overlay, format="qcow2", serial=serial)
        file = folder / f"data-{number}.raw"
        if not file.exists():
            await self._sparse(file, disk)
        return DomainDisk(path=file, format="raw", serial=serial)

    async def release(self, machine_id: str) -> None:
        """Destroy all of the machine's disks."""
        for pattern in ("boot.qcow2*", "data-*"):
            self._folders.remove(machine_id, pattern)

    async def _overlay(self, disk: Path, image: CheckedImage, capacity_bytes: int = 0) -> None:
        if capacity_bytes and capacity_bytes < image.virtual_size_bytes:
            raise DomainRejected(
                f"A disk of {capacity_bytes} bytes cannot hold the image {image.path} of "
                f"{image.virtual_size_bytes} bytes.",
                hint="Ask for a larger disk.",
            )
        draft = disk.with_name(disk.name + ".new")
        size = [str(capacity_bytes)] if capacity_bytes else []
        try:
            await run_program(
                self._qemu_img, "create", "-q", "-f", "qcow2", "-F", image.format,
                "-b", str(image.path), str(draft), *size,
                timeout_seconds=TIMEOUT_SECONDS,
            )  # fmt: skip
        except ProgramFailed as error:
            raise Unavailable(
                f"The disk {disk} could not be made: {error.said}",
                hint="Check free space and rights of the agent's folder.",
            ) from error
        _publish(draft, disk)

    async def _sparse(self, file: Path, disk: DiskSpec) -> None:
        draft = file.with_name(file.name + ".new")
        maker = FILE_SYSTEMS.get(disk.format)
        if maker is None and disk.format not in ("", "swap"):
            raise DomainRejected(
                f"Disks cannot be made with the format {disk.format!r}.",
                hint="Possible are swap, " + ", ".join(FILE_SYSTEMS) + ", or none.",
            )
        try:
            with draft.open("wb") as stream:
                stream.truncate(disk.capacity_bytes)
                if disk.format == "swap":
                    stream.write(swap_header(disk.capacity_bytes))
        except OSError as error:
            raise Unavailable(
                f"The disk {file} could not be made: {error.strerror or error}.",
                hint="Check free space and rights of the agent's folder.",
            ) from error
        if maker is not None:
            await run_program(*maker, str(draft), timeout_seconds=TIMEOUT_SECONDS)
        _publish(draft, file)


def _publish(draft: Path, file: Path) -> None:
    """Give a complete file its name, so that not even a power loss shows half of it. Nobody else
    on the host may read a guest's disk; libvirt gives it to QEMU's user while the guest runs."""
    descriptor = os.open(draft, os.O_RDONLY)
    try:
        os.fchmod(descriptor, 0o600)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(file)
