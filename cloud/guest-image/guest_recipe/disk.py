"""The disk: a partition table, a FAT partition that boots with syslinux, an ext4 root.

Works on plain files, so neither root rights nor loop devices are needed.
"""

from __future__ import annotations

import os
from pathlib import Path

from guest_recipe.commands import SYSLINUX_MBR, run

MIB = 1024 * 1024
SECTOR_BYTES = 512
BOOT_START_MIB = 1
BOOT_SIZE_MIB = 32
ROOT_START_MIB = BOOT_START_MIB + BOOT_SIZE_MIB
DISK_SIZE_MIB = 256
ROOT_LABEL = "stratus-root"
FIXED_ID = "53747261-7475-734c-6162-000000000001"
MBR_CODE_BYTES = 440

KERNEL_ARGUMENTS = (
    "console=ttyS0",
    "quiet",
    "loglevel=3",
    "panic=10",
    "mitigations=off",  # a guest of one tenant; half a second of emulated boot
    "random.trust_cpu=on",
    "no_timer_check",
    "cryptomgr.notests",
)
SYSLINUX_CONFIGURATION = f"""\
DEFAULT stratuslab
PROMPT 0
TIMEOUT 0
LABEL stratuslab
  LINUX vmlinuz
  INITRD initrd.gz
  APPEND {" ".join(KERNEL_ARGUMENTS)}
"""


def make_disk(work: Path, *, kernel: Path, initramfs: Path, root_tree: Path, mtime: int) -> Path:
    """Lay out the disk in folder `work` and return the compressed qcow2 file."""
    raw = work / "disk.raw"
    with raw.open("wb") as stream:
        stream.truncate(DISK_SIZE_MIB * MIB)
    _partition(raw)
    _make_boot_partition(raw, work, kernel, initramfs, mtime)
    _make_root_partition(raw, work, root_tree, mtime)
    image = work / "disk.qcow2"
    run(["qemu-img", "convert", "-q", "-c", "-f", "raw", "-O", "qcow2", raw, image])
    return image


def _sectors(mib: int) -> int:
    return mib * MIB // SECTOR_BYTES


def _partition(raw: Path) -> None:
    table = (
        "label: dos\nlabel-id: 0x534c6162\nunit: sectors\n"
        f"start={_sectors(BOOT_START_MIB)}, size={_sectors(BOOT_SIZE_MIB)}, type=e, bootable\n"
        f"start={_sectors(ROOT_START_MIB)}, type=83\n"
    )
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", raw], stdin=table.encode())
    with raw.open("r+b") as stream:
        stream.write(SYSLINUX_MBR.read_bytes()[:MBR_CODE_BYTES])


def _make_boot_partition(raw: Path, work: Path, kernel: Path, initramfs: Path, mtime: int) -> None:
    start = BOOT_START_MIB * MIB
    hidden = str(_sectors(BOOT_START_MIB))
    run(
        ["mkfs.fat", "-F", "16", "-n", "BOOT", "-i", "534c6162", "--invariant", "-h", hidden,
         "--offset", hidden, raw, str(BOOT_SIZE_MIB * 1024)]
    )  # fmt: skip
    configuration = work / "syslinux.cfg"
    configuration.write_text(SYSLINUX_CONFIGURATION)
    for source, name in (
        (kernel, "vmlinuz"),
        (initramfs, "initrd.gz"),
        (configuration, "syslinux.cfg"),
    ):
        os.utime(source, (mtime, mtime))
        run(
            ["mcopy", "-m", "-i", f"{raw}@@{start}", source, f"::{name}"],
            extra_environment={"MTOOLS_SKIP_CHECK": "1"},
        )
    run(
        ["syslinux", "--install", "--offset", str(start), raw],
        extra_environment={"SOURCE_DATE_EPOCH": str(mtime)},
    )


def _make_root_partition(raw: Path, work: Path, root_tree: Path, mtime: int) -> None:
    partition = work / "root.ext4"
    size_kib = (DISK_SIZE_MIB - ROOT_START_MIB) * 1024
    extended = f"hash_seed={FIXED_ID},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0"
    same_time = {"E2FSPROGS_FAKE_TIME": str(mtime)}
    run(
        ["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-m", "0", "-N", "16384",
         "-L", ROOT_LABEL, "-U", FIXED_ID, "-E", extended, "-d", root_tree,
         partition, f"{size_kib}k"],
        extra_environment=same_time,
    )  # fmt: skip
    # mke2fs keeps the builder's user id and the hour on every file; the guest's files belong
    # to its root, and two builds of the same packages shall be equal.
    paths = [path.relative_to(root_tree) for path in sorted(root_tree.rglob("*"))]
    orders = [
        f'set_inode_field "/{path}" {field}\n'
        for path in paths
        for field in ("uid 0", "gid 0", f"ctime @{mtime}")
    ]
    run(
        ["debugfs", "-w", "-f", "/dev/stdin", partition],
        stdin="".join(orders).encode(),
        extra_environment=same_time,
    )
    _place(partition, raw, ROOT_START_MIB * MIB)


def _place(source: Path, target: Path, offset: int) -> None:
    """Copy `source` into `target` at `offset`, leaving holes where it is empty."""
    with source.open("rb") as reader, target.open("r+b") as writer:
        while chunk := reader.read(MIB):
            if chunk.strip(b"\0"):
                writer.seek(offset)
                writer.write(chunk)
            offset += len(chunk)
