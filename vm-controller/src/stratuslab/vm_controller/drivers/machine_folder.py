"""The folder of each machine on its host: one per machine, named by its id.

Adapters for disks, seeds and networks keep their files here side by side; each removes its own,
the last one the folder.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from stratuslab.core.errors import Unavailable
from stratuslab.vm_controller.drivers.base import DomainRejected


class MachineFolders:
    """All machines' folders below one root."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def path(self, machine_id: str) -> Path:
        """The machine's folder, existing or not. Raises DomainRejected for what is no id."""
        try:
            if str(UUID(machine_id)) == machine_id:
                return self.root / machine_id
        except ValueError:
            pass
        raise DomainRejected(f"{machine_id!r} is not the id of a machine: a lower-case UUID.")

    def made(self, machine_id: str) -> Path:
        """The machine's folder, made if needed. Others may pass through it, not list it."""
        folder = self.path(machine_id)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        except OSError as error:
            raise self._failed(folder, error) from error
        return folder

    def write(self, machine_id: str, name: str, content: bytes, mode: int = 0o600) -> Path:
        """Replace a file as a whole; it is on disk afterwards."""
        file = self.made(machine_id) / name
        draft = file.with_name(name + ".new")
        try:
            with suppress(FileNotFoundError):
                draft.unlink()
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(descriptor)
            draft.replace(file)
        except OSError as error:
            raise self._failed(file, error) from error
        return file

    def remove(self, machine_id: str, pattern: str) -> None:
        """Remove the machine's files that match, and its folder when that leaves it empty."""
        folder = self.path(machine_id)
        for file in folder.glob(pattern):
            file.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()

    def _failed(self, path: Path, error: OSError) -> Unavailable:
        return Unavailable(
            f"{path} cannot be written: {error.strerror or error}.",
            hint="Check free space and rights of the agent's folder.",
        )
