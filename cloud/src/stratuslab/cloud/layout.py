"""The data folder of a cloud: one place for everything, private to its owner. Pure paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stratuslab.core.errors import ConfigurationError

DEFAULT_DATA = Path("data")
LONGEST_PATH = 70
"""Bytes; unix sockets below it must stay within the kernel's limit of 107."""


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
    def cimi_socket(self) -> Path:
        """Where the front listens behind the front door."""
        return self.run / "cimi-api.sock"

    def credentials(self, process: str) -> Path:
        """A process's account on the bus."""
        return self.secrets / f"bus-{process}.json"

    def prepare(self) -> None:
        """Makes the folders. Raises ConfigurationError in one sentence."""
        if len(str(self.path).encode()) > LONGEST_PATH:
            raise ConfigurationError(
                f"The path of the data folder {self.path} is longer than {LONGEST_PATH} bytes.",
                hint="Choose a shorter one with --data.",
            )
        try:
            for folder in (
                self.path,
                self.run,
                self.logs,
                self.secrets,
                self.images,
                self.store,
                self.nats,
                self.hosts,
            ):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            probe = self.run / ".writable"
            probe.write_text("yes\n")
            probe.unlink()
        except OSError as error:
            raise ConfigurationError(
                f"The data folder {self.path} cannot be used: {error.strerror}.",
                hint="Choose another one with --data, or free some space.",
            ) from error
