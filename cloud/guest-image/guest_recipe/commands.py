"""Running the tools of the build machine; turns their failures into one readable line."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

PACKAGE_OF_TOOL = {
    "cpio": "cpio",
    "mkfs.fat": "dosfstools",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "sfdisk": "fdisk",
    "mcopy": "mtools",
    "qemu-img": "qemu-utils",
    "syslinux": "syslinux",
}
SYSLINUX_MBR = Path("/usr/lib/syslinux/mbr/mbr.bin")
TIMEOUT_SECONDS = 600


class BuildError(Exception):
    """The image cannot be built; the message says why and what to do."""


def environment() -> dict[str, str]:
    """The environment for every tool: C locale, UTC, and sbin on PATH as users often lack it."""
    path = os.environ.get("PATH", os.defpath)
    return {**os.environ, "LC_ALL": "C", "TZ": "UTC", "PATH": f"{path}:/usr/sbin:/sbin"}


def check_tools() -> None:
    """Raise BuildError naming the packages to install if a tool is missing."""
    path = environment()["PATH"]
    missing = {
        package for tool, package in PACKAGE_OF_TOOL.items() if not shutil.which(tool, path=path)
    }
    if not SYSLINUX_MBR.is_file():
        missing.add("syslinux-common")
    if not shutil.which("apt-get", path=path):
        raise BuildError("apt-get is missing: the image is built on Debian or Ubuntu only")
    if missing:
        names = " ".join(sorted(missing))
        raise BuildError(f"tools are missing; run: sudo apt-get install -y {names}")


def run(
    arguments: Sequence[str | Path],
    *,
    stdin: bytes | None = None,
    cwd: Path | None = None,
    extra_environment: Mapping[str, str] | None = None,
) -> bytes:
    """Run a tool and return its standard output; raise BuildError with its last complaint."""
    try:
        done = subprocess.run(
            [str(argument) for argument in arguments],
            input=b"" if stdin is None else stdin,
            capture_output=True,
            cwd=cwd,
            env={**environment(), **(extra_environment or {})},
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise BuildError(f"{arguments[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise BuildError(f"{arguments[0]} did not end within {TIMEOUT_SECONDS} s") from None
    if done.returncode != 0:
        complaint = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        reason = complaint[-1] if complaint else f"status {done.returncode}"
        raise BuildError(f"{arguments[0]} failed: {reason}")
    return done.stdout
