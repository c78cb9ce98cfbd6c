"""What is left of a private libvirt when its keeper could not end it: daemons and guests.

Nothing of a cloud may go on running on a laptop after `down`. The guests' disks stay, and since
they count as ended by a reboot, their restart policy brings them back at the next `up`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from stratuslab.cloud.processes import stop_guests_argv
from stratuslab.vm_controller.private_libvirt import InstanceFolder
from stratuslab.vm_controller.private_libvirt.daemon import Daemon

STOP_SECONDS = 20.0
_DAEMONS = (("libvirtd", "libvirt-sock"), ("virtlogd", "virtlogd-sock"))


async def end_private_libvirt(folder: Path) -> bool:
    """Ends it if anything of it lives; whether that was so."""
    if not folder.is_dir():
        return False
    instance = InstanceFolder(folder)
    if not _lives(instance):
        return False
    await _stop_in_order(folder)
    guests = instance.guest_processes()
    for pid in guests:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if guests:
        instance.begin_new_boot()
    return True


def _lives(instance: InstanceFolder) -> bool:
    daemons = (Daemon(instance, name, socket) for name, socket in _DAEMONS)
    return bool(instance.guest_processes()) or any(each.pid() is not None for each in daemons)


async def _stop_in_order(folder: Path) -> None:
    """Lets libvirt stop the guests, in a process of its own because libvirt may block."""
    process = await asyncio.create_subprocess_exec(
        *stop_guests_argv(folder),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
