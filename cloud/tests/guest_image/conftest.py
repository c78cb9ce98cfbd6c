"""Real guests for these tests: the image as `make image` builds it, in QEMU by emulation."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pycdlib
import pytest
from real_parts import require

TOP = Path(__file__).resolve().parents[3]
RECIPE = TOP / "cloud/guest-image"
IMAGE = TOP / "build/images/tiny.qcow2"
CACHE = TOP / "build/cache/guest-image"
DEADLINE_SECONDS = 90
AGENT_PORT = "org.stratuslab.guest.0"


@pytest.fixture(scope="session")
def image() -> Path:
    """The image, built if it is missing or older than its recipe."""
    if not Path("/usr/bin/apt-get").exists():
        require("apt-get", "the guest image is built from Debian or Ubuntu packages")
    done = subprocess.run(
        [sys.executable, RECIPE / "build", "--output", IMAGE, "--cache", CACHE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return IMAGE


@pytest.fixture(scope="session")
def busybox(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The very busybox that is in the guest."""
    folder = tmp_path_factory.mktemp("busybox")
    (package,) = CACHE.glob("busybox-static_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    return next(place for place in folder.glob("**/bin/busybox") if place.is_file())


@dataclass(frozen=True)
class Key:
    private: Path
    public: str


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    if not shutil.which("ssh-keygen"):
        require("ssh-keygen", "run: apt-get install openssh-client")
    private = tmp_path_factory.mktemp("key") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", private], check=True)
    return Key(private, private.with_suffix(".pub").read_text().strip())


def write_seed(path: Path, parts: dict[str, str]) -> Path:
    """Write a NoCloud seed disk holding the given files."""
    disk = pycdlib.PyCdlib()
    disk.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for number, (name, text) in enumerate(parts.items()):
        content = text.encode()
        disk.add_fp(
            io.BytesIO(content),
            len(content),
            f"/PART{number}.;1",
            rr_name=name,
            joliet_path=f"/{name}",
        )
    disk.write(str(path))
    disk.close()
    return path


@dataclass
class Guest:
    """A running guest: its console, its monitor, its agent channel, its forwarded ssh port."""

    process: subprocess.Popen[bytes]
    folder: Path
    ssh_port: int
    key: Key | None
    started: float = field(default_factory=time.monotonic)

    @property
    def console(self) -> str:
        log = self.folder / "console.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def wait_for(self, text: str, *, times: int = 1) -> None:
        """Wait until the console has shown `text` that many times."""
        while self.console.count(text) < times:
            late = time.monotonic() - self.started > DEADLINE_SECONDS * times
            dead = self.process.poll() is not None
            assert not late, f"{text!r} did not come; the console:\n{self.console}"
            assert not dead or self.console.count(text) >= times, (
                f"QEMU ended; the console:\n{self.console}"
            )
            time.sleep(0.05)

    def wait_ready(self, *, times: int = 1) -> dict[str, str]:
        """Wait for the banner's end; return the fields of the last READY line."""
        self.wait_for("Welcome to ", times=times)
        (*_, line) = (
            line for line in self.console.splitlines() if line.startswith("STRATUSLAB READY ")
        )
        return dict(word.split("=", 1) for word in line.split()[2:])

    def wait_end(self) -> float:
        """Wait until QEMU has ended cleanly; return the seconds it took."""
        before = time.monotonic()
        assert self.process.wait(timeout=30) == 0
        return time.monotonic() - before

    def ssh(self, command: str, *, user: str = "root", options: tuple[str, ...] = ()) -> str:
        assert self.key is not None
        done = subprocess.run(
            ["ssh", "-i", self.key.private, "-p", str(self.ssh_port), "-o", "BatchMode=yes",
             "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
             "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20", *options,
             f"{user}@127.0.0.1", command],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def monitor(self, command: str) -> None:
        """Give QEMU one command, such as system_powerdown."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(self.folder / "monitor"))
            stream = connection.makefile("rw")
            stream.readline()
            for name in ("qmp_capabilities", command):
                stream.write(json.dumps({"execute": name}) + "\n")
                stream.flush()
                while "return" not in json.loads(stream.readline()):
                    pass

    def connect(self, channel: str) -> socket.socket:
        """Open the host's end of "console.socket" or "agent"."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(30)
        connection.connect(str(self.folder / channel))
        return connection


StartGuest = Callable[..., Guest]


@pytest.fixture(scope="module")
def start_guest(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartGuest]:
    """Start a guest with a seed, or with any file as seed disk, or with none.

    `network` is true (QEMU's user network), false (no card) or "silent" (nobody answers).
    """
    if not shutil.which("qemu-system-x86_64"):
        require("QEMU", "run: apt-get install qemu-system-x86")
    with contextlib.ExitStack() as running:

        def start(
            seed: dict[str, str] | Path | None = None,
            *,
            machine: str = "pc",
            network: bool | str = True,
            key: Key | None = None,
            disk: Path | None = None,
        ) -> Guest:
            folder = tmp_path_factory.mktemp("guest")
            if disk is None:
                disk = folder / "disk.qcow2"
                _new_disk(image, disk)
            seed_disk = write_seed(folder / "seed.iso", seed) if isinstance(seed, dict) else seed
            port = _free_port()
            network_card = {
                True: f"user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{port}-:22",
                False: "none",
                "silent": "socket,model=virtio-net-pci,listen=127.0.0.1:0",
            }[network]
            arguments = _qemu(folder, disk, seed_disk, machine, network_card)
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL)
            running.callback(_end, process)
            return Guest(process, folder, port, key)

        yield start


@pytest.fixture
def fresh_disk(image: Path, tmp_path: Path) -> Path:
    """A copy-on-write disk over the image, for several boots."""
    disk = tmp_path / "disk.qcow2"
    _new_disk(image, disk)
    return disk


def _new_disk(image: Path, disk: Path) -> None:
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", disk], check=True
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _qemu(
    folder: Path, disk: Path, seed: Path | None, machine: str, network_card: str
) -> list[str | os.PathLike[str]]:
    console = f"socket,id=console,path={folder}/console.socket,server=on,wait=off"
    arguments: list[str | os.PathLike[str]] = [
        "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-machine", machine,
        "-m", "128", "-smp", "1", "-display", "none", "-nodefaults",
        "-chardev", f"{console},logfile={folder}/console.log", "-serial", "chardev:console",
        "-qmp", f"unix:{folder}/monitor,server=on,wait=off",
        "-drive", f"file={disk},format=qcow2,if=virtio",
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=agent,path={folder}/agent,server=on,wait=off",
        "-device", f"virtserialport,chardev=agent,name={AGENT_PORT}",
    ]  # fmt: skip
    if seed is not None:
        arguments += ["-drive", f"file={seed},format=raw,if=virtio,readonly=on"]
    return [*arguments, "-nic", network_card]
