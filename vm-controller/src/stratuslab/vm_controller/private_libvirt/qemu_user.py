"""The system user that libvirt's QEMU driver insists on, even where QEMU runs as another.

Debian makes it with the package `libvirt-daemon-system`, which a machine without systemd does
not want. Without the user libvirtd refuses to load its QEMU driver.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable

import structlog

from stratuslab.core.errors import ConfigurationError, Unavailable
from stratuslab.vm_controller.external_program import run_program

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
        await run_program(*command, timeout_seconds=TIMEOUT_SECONDS)
    except Unavailable as error:
        if "already exists" in str(error):  # somebody else made it just now
            return
        raise ConfigurationError(
            f"The user {USER} could not be made: {error}",
            hint="Install libvirt-daemon-system, or make the user by hand.",
        ) from error
