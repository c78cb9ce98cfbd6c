"""One daemon of a private libvirt instance: found again by its pid file, started, stopped.

A daemon belongs to its folder, not to the process that started it: it outlives a kill of that
process and is found again. Whether a pid is really ours is told by its command line, which
holds the path of our own pid file. Guests are never touched here.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys

import structlog

from stratuslab.core.errors import ConfigurationError, Unavailable
from stratuslab.vm_controller.private_libvirt import foster_parent
from stratuslab.vm_controller.private_libvirt.instance_folder import (
    InstanceFolder,
    command_line,
)

log = structlog.get_logger(__name__)

START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 15.0
LOG_MAX_BYTES = 4 << 20


class Daemon:
    """`libvirtd` or `virtlogd` of one instance."""

    def __init__(self, folder: InstanceFolder, program: str, socket_name: str) -> None:
        self.program = program
        self._folder = folder
        self._socket = folder.run / socket_name
        self._pid_file = folder.near / f"{program}.pid"
        self._log_file = folder.logs / f"{program}.log"

    def pid(self) -> int | None:
        """The running daemon's pid, None when there is none."""
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return None
        return pid if str(self._pid_file) in command_line(pid) else None

    async def start(self) -> None:
        """Make it run and answer; one that runs already is kept.

        Raises ConfigurationError when the program is missing, Unavailable when it fails.
        """
        pid = self.pid()
        if pid is None:
            self._keep_log_small()
            pid = await self._spawn()
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT_SECONDS
        while not self._answers():
            if not command_line(pid) or asyncio.get_running_loop().time() > deadline:
                raise self._failed(f"does not answer on {self._socket}")
            await asyncio.sleep(0.02)
        log.info("private_libvirt.daemon_runs", program=self.program, pid=pid)

    async def ended(self) -> None:
        """Return as soon as the daemon is gone."""
        pid = self.pid()
        if pid is None:
            return
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        loop.add_reader(descriptor, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    async def stop(self) -> None:
        """End the daemon; guests stay as they are."""
        for ending in (signal.SIGTERM, signal.SIGKILL):
            pid = self.pid()
            if pid is None:
                return
            try:
                os.kill(pid, ending)
                async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                    await self.ended()
            except ProcessLookupError:
                return
            except TimeoutError:
                log.warning("private_libvirt.daemon_does_not_stop", program=self.program, pid=pid)

    async def _spawn(self) -> int:
        if shutil.which(self.program) is None:
            raise ConfigurationError(
                f"{self.program} is not installed on this machine.",
                hint="Install it: apt-get install libvirt-daemon libvirt-daemon-driver-qemu",
            )
        namespace = str(self._folder.path) if self._folder.system else "-"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", foster_parent.__file__, namespace),
            *(str(self._log_file), self.program, "-p", str(self._pid_file)),
            env=self._folder.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                pid, errors = await process.communicate()
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise self._failed("did not start in time") from error
        if not pid:
            raise self._failed(errors.decode(errors="replace").strip()[-500:])
        return int(pid)

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(1)
                probe.connect(str(self._socket))
        except OSError:
            return False
        return True

    def _failed(self, why: str) -> Unavailable:
        return Unavailable(
            f"The private {self.program} of {self._folder.path} {why or 'failed'}.",
            hint=f"Its log is {self._log_file}.",
        )

    def _keep_log_small(self) -> None:
        if self._log_file.exists() and self._log_file.stat().st_size > LOG_MAX_BYTES:
            self._log_file.replace(self._log_file.with_name(self._log_file.name + ".old"))
