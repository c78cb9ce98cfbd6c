"""The system user that libvirt's QEMU driver insists on, even where QEMU runs as another.

Debian makes it with the package `libvirt-daemon-system`, which a machine without systemd does
not want. Without the user libvirtd refuses to load its QEMU driver.
"""

from __future__ import annotations

import asyncio
import grp
import pwd
from collections.abc import Callable

import structlog

from stratuslab.core.errors import ConfigurationError

log = structlog.get_logger(__name__)

USER = "libvirt-qemu"
GROUPS = ("kvm", "libvirt-qemu")
TIMEOUT_SECONDS = 20.0


async def ensure_qemu_user() -> None:
    """Make the missing groups and the user; needs root. Raises ConfigurationError."""
    for group in GROUPS:
        if not _exists(grp.getgrnam, group):
            await _run("groupadd", "--system", group)
    if not _exists(pwd.getpwnam, USER):
        await _run(
            "useradd", "--system", "--no-create-home", "--home-dir", "/var/lib/libvirt",
            "--shell", "/usr/sbin/nologin", "--gid", "kvm", "--groups", "libvirt-qemu", USER,
        )  # fmt: skip
        log.info("private_libvirt.user_made", user=USER)


def _exists(find: Callable[[str], object], name: str) -> bool:
    try:
        find(name)
    except KeyError:
        return False
    return True


async def _run(*command: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(TIMEOUT_SECONDS):
            _, errors = await process.communicate()
    except (OSError, TimeoutError) as error:
        raise ConfigurationError(f"{command[0]} could not be run: {error}.") from error
    if process.returncode not in (0, 9):  # 9: somebody else made it just now
        raise ConfigurationError(
            f"The user {USER} could not be made: {errors.decode(errors='replace').strip()}",
            hint="Install libvirt-daemon-system, or make the user by hand.",
        )
