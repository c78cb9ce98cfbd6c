"""A private libvirt instance that runs as long as it is asked to; its guests outlive it.

Owns libvirtd and virtlogd of one folder: starts them, starts them again when they die, stops
them at the end. Guests run on when the instance is stopped or killed, and are there again when
it is started in the same folder; they are stopped only when that is asked for.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from stratuslab.core.errors import TransientError
from stratuslab.vm_controller.drivers.libvirt.clearing import stop_all_guests
from stratuslab.vm_controller.private_libvirt.daemon import Daemon
from stratuslab.vm_controller.private_libvirt.instance_folder import InstanceFolder
from stratuslab.vm_controller.private_libvirt.qemu_user import ensure_qemu_user

log = structlog.get_logger(__name__)

RESTART_WAIT_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
LONG_RUN_SECONDS = 30.0
"""A daemon that ran this long before it died is started again at once."""


class PrivateLibvirt:
    """`async with PrivateLibvirt(folder) as instance:` gives `instance.uri`.

    As root a system instance in a mount namespace of its own, otherwise a session instance.
    Raises ConfigurationError when something is missing on this machine or the folder is
    unusable, Unavailable when a daemon does not start.
    """

    def __init__(
        self, folder: Path, *, stop_guests_at_exit: bool = False, grace_seconds: float = 10.0
    ) -> None:
        self.folder = InstanceFolder(folder)
        self.libvirtd = Daemon(self.folder, "libvirtd", "libvirt-sock")
        self.virtlogd = Daemon(self.folder, "virtlogd", "virtlogd-sock")
        self._stop_guests_at_exit = stop_guests_at_exit
        self._grace_seconds = grace_seconds
        self._tasks = asyncio.TaskGroup()
        self._watchers: list[asyncio.Task[None]] = []

    @property
    def uri(self) -> str:
        """What a driver connects to."""
        return self.folder.uri

    @property
    def boot_id(self) -> str:
        """See `InstanceFolder.boot_id`."""
        return self.folder.boot_id()

    async def __aenter__(self) -> Self:
        if self.folder.system:
            await ensure_qemu_user()
        self.folder.prepare()
        daemons = (self.virtlogd, self.libvirtd)
        for daemon in daemons:
            await daemon.start()
        await self._tasks.__aenter__()
        self._watchers = [self._tasks.create_task(self._keep_running(each)) for each in daemons]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._stop_guests_at_exit:
            try:
                await self.stop_guests(self._grace_seconds)
            except TransientError as error:
                log.error("private_libvirt.guests_not_stopped", error=str(error))
        for watcher in self._watchers:
            watcher.cancel()
        await self._tasks.__aexit__(None, None, None)
        await self.libvirtd.stop()
        if guests := self.folder.guest_processes():
            log.info("private_libvirt.guests_run_on", guests=len(guests))
            return  # virtlogd holds the consoles of these guests: without it they would be lost
        await self.virtlogd.stop()
        self.folder.forget_near()

    async def stop_guests(self, grace_seconds: float = 0.0) -> None:
        """Stop every guest and every network of this instance; definitions stay.

        Guests get the power button and `grace_seconds` to obey, then their power is cut.
        """
        await self.libvirtd.start()
        await stop_all_guests(self.uri, grace_seconds)
        self.folder.begin_new_boot()

    async def _keep_running(self, daemon: Daemon) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            await daemon.ended()
            failures = 0 if loop.time() - began > LONG_RUN_SECONDS else failures
            wait = RESTART_WAIT_SECONDS[min(failures, len(RESTART_WAIT_SECONDS) - 1)]
            log.warning("private_libvirt.daemon_died", program=daemon.program, again_in=wait)
            await asyncio.sleep(wait)
            failures += 1
            try:
                await daemon.start()
            except TransientError as error:
                log.error("private_libvirt.daemon_not_started", error=str(error))
