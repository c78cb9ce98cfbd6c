"""The data folder of a cloud: one place for everything, private to its owner.

Owns its layout and rights. Starts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stratuslab.core.errors import ConfigurationError
from stratuslab.core.service.listen import LONGEST_SOCKET_PATH

DEFAULT_DATA = Path("data")
FOLDERS = ("run", "logs", "secrets", "images", "store", "nats", "hosts")
PRIVATE = 0o700
PASSABLE = 0o711


@dataclass(frozen=True)
class DataFolder:
    """Where what lies. `path` is absolute."""

    path: Path

    @property
    def run(self) -> Path:
        """Sockets, status and lock of the running cloud."""
        return self.path / "run"

    @property
    def logs(self) -> Path:
        """One bounded log for each process."""
        return self.path / "logs"

    @property
    def secrets(self) -> Path:
        """Passwords and keys."""
        return self.path / "secrets"

    @property
    def images(self) -> Path:
        """Bootable disks that machines may be made from."""
        return self.path / "images"

    @property
    def store(self) -> Path:
        """The documents."""
        return self.path / "store"

    @property
    def nats(self) -> Path:
        """The bus server's files."""
        return self.path / "nats"

    @property
    def hosts(self) -> Path:
        """What hosts keep: disks, seeds, consoles, the reality of simulated ones."""
        return self.path / "hosts"

    @property
    def libvirt(self) -> Path:
        """A private libvirt instance, where one is used."""
        return self.path / "libvirt"

    @property
    def hypervisor(self) -> Path:
        """The word for what this cloud's machines run with."""
        return self.path / "hypervisor"

    @property
    def lock(self) -> Path:
        """Held by the supervisor while it runs."""
        return self.run / "supervisor.lock"

    @property
    def status(self) -> Path:
        """What the supervisor last said about its processes."""
        return self.run / "status.json"

    @property
    def password_file(self) -> Path:
        """The first administrator's password."""
        return self.secrets / "admin-password"

    @property
    def vault_key(self) -> Path:
        """The key that encrypts the cloud's secrets."""
        return self.secrets / "vault.key"

    @property
    def ssh_key(self) -> Path:
        """The private key that opens first machines."""
        return self.secrets / "ssh-key"

    @property
    def supervisor_log(self) -> Path:
        """What a supervisor in the background says."""
        return self.logs / "supervisor.log"

    @property
    def cimi_socket(self) -> Path:
        """Where the front listens behind the front door."""
        return self.run / "cimi-api.sock"

    def credentials(self, process: str) -> Path:
        """A process's account on the bus."""
        return self.secrets / f"bus-{process}.json"

    def prepare(self) -> None:
        """Makes the folders, private to their owner. Raises ConfigurationError."""
        longest = LONGEST_SOCKET_PATH - len(str(self.cimi_socket.relative_to(self.path))) - 1
        if len(str(self.path).encode()) > longest:
            raise ConfigurationError(
                f"The path of the data folder {self.path} is longer than {longest} bytes, and "
                "sockets in it could not be reached.",
                hint="Choose a shorter one with --data.",
            )
        try:
            for folder in (self.path, *(self.path / name for name in FOLDERS)):
                folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
                folder.chmod(PRIVATE)
            probe = self.run / ".writable"
            probe.write_bytes(b"x" * 65536)
            probe.unlink()
        except OSError as error:
            raise ConfigurationError(
                f"The data folder {self.path} cannot be used: {error.strerror}.",
                hint="Choose another one with --data, or free some space.",
            ) from error

    def let_others_pass(self, host: str) -> None:
        """Lets QEMU through to disks and images where it runs as a user of its own: it may go
        through these folders to a file it knows, and still not list or read anything else."""
        machines = self.hosts / host / "machines"
        machines.mkdir(parents=True, exist_ok=True)
        for folder in (self.path, self.images, self.hosts, machines.parent, machines):
            folder.chmod(PASSABLE)
