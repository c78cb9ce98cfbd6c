"""A private libvirt for tests: one process for the whole session, nothing left behind.

Use in a conftest: `from private_libvirt_fixture import private_libvirt`. It runs the product's
own command as a process, because tests kill and stop parts of it. Should the test process
itself be killed, a janitor process stops guests and instance; this file is its program, too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_parts import missing_libvirt, require

from stratuslab.vm_controller.private_libvirt import InstanceFolder
from stratuslab.vm_controller.private_libvirt.daemon import Daemon

STOP_SECONDS = 30.0


class LibvirtProcess:
    """The command `python -m stratuslab.vm_controller.private_libvirt` and what it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = InstanceFolder(folder)
        self.libvirtd = Daemon(self.folder, "libvirtd", "libvirt-sock")
        self.virtlogd = Daemon(self.folder, "virtlogd", "virtlogd-sock")
        self.log = folder.with_name(folder.name + ".log")
        self._process: subprocess.Popen[str] | None = None

    @property
    def uri(self) -> str:
        return self.folder.uri

    @property
    def boot_id(self) -> str:
        return self.folder.boot_id()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *options: str) -> None:
        """Start the command and wait until it has printed its URI."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                _command(self.folder.path, *options), stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None
        uri = self._process.stdout.readline().strip()
        assert uri == self.uri, f"the private libvirt did not start: {self.log.read_text()}"

    def stop(self) -> None:
        """SIGTERM: the guests run on."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: the daemons and the guests run on."""
        self._end(signal.SIGKILL)

    def guest_pid(self, name: str) -> int:
        """The QEMU process of the running guest with this name."""
        folder = self.folder.run / ("qemu" if self.folder.system else "qemu/run")
        return int((folder / f"{name}.pid").read_text())

    def clear(self) -> None:
        """Stop guests and instance, whatever state they are in."""
        with contextlib.suppress(ProcessLookupError):
            if self._process is not None and self._process.returncode is None:
                os.kill(self._process.pid, signal.SIGCONT)
                self.stop()
        _stop_everything(self.folder.path)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.wait(STOP_SECONDS)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="session")
def private_libvirt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibvirtProcess]:
    """A running private libvirt; guests of tests that failed are stopped at the end."""
    require("libvirt", missing_libvirt())
    instance = LibvirtProcess(tmp_path_factory.mktemp("libvirt") / "instance")
    janitor = subprocess.Popen(
        [
            *("setpriv", "--pdeathsig", "TERM", sys.executable),
            *(__file__, str(instance.folder.path)),
        ],
        start_new_session=True,
    )
    try:
        instance.start()
        yield instance
    finally:
        janitor.kill()
        janitor.wait()
        instance.clear()
        leftovers = _processes_of(instance.folder.path)
        for pid in leftovers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert not leftovers, f"the private libvirt left processes behind: {leftovers}"


def _command(folder: Path, *options: str) -> list[str]:
    module = "stratuslab.vm_controller.private_libvirt"
    return [sys.executable, "-m", module, "--folder", str(folder), *options]


def _stop_everything(folder: Path) -> None:
    subprocess.run(
        _command(folder, "--stop-guests", "--grace-seconds", "0"),
        check=True,
        timeout=2 * STOP_SECONDS,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _processes_of(folder: Path, seconds: float = 5.0) -> dict[int, str]:
    """What still names the folder in its command line after a while; all of it is ours."""
    deadline = time.monotonic() + seconds
    while True:
        found = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                pid = int(path.parent.name)
                if str(folder) in command and pid != os.getpid():
                    found[pid] = command[:200]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _clean_up_after_a_kill(folder: Path) -> None:
    """The janitor: gets SIGTERM when the test process is gone without having cleaned up."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.sigwait({signal.SIGTERM})
    for pid, command in _processes_of(folder, seconds=0).items():
        if "stratuslab.vm_controller.private_libvirt" in command and "--folder" in command:
            os.kill(pid, signal.SIGKILL)
    _stop_everything(folder)


if __name__ == "__main__":
    _clean_up_after_a_kill(Path(sys.argv[1]))
