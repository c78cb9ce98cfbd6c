"""What a host remembers by itself, outside the store, in one small file.

Owns the protection against a store that is not what it was: the cloud id, the highest (epoch,
sequence) and the highest agent fence this host has seen. A second agent for the same host, or
one that was stopped and wakes up late, finds a higher fence here and must not act any more.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from stratuslab.core.errors import ConfigurationError, PermanentError
from stratuslab.core.store.base import StoreIdentity


class Fenced(PermanentError):
    """A newer agent acts for this host."""

    code = "fenced"


class Seen(msgspec.Struct, rename="camel", kw_only=True):
    """The content of the file."""

    cloud_id: str = ""
    epoch: int = 0
    sequence: int = 0
    fence: int = 0
    confirmation: str = ""
    """The last operator's confirmation that was obeyed."""


class HostMemory:
    """The file `seen.json` in the host's folder, replaced atomically."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "seen.json"
        self._stat: tuple[int, int] | None = None
        self._seen = Seen()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._read()
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigurationError(
                f"The host's memory {self._path} cannot be used: {error}.",
                hint="Make the folder writable for the agent; never delete the file while "
                "domains run.",
            ) from error

    @property
    def seen(self) -> Seen:
        """The present content; re-read when another process replaced the file."""
        self._read()
        return self._seen

    def is_older(self, identity: StoreIdentity) -> bool:
        """Whether the store has come less far than this host has seen, or is another one."""
        seen = self.seen
        if not seen.cloud_id:
            return False
        if seen.cloud_id != identity.cloud_id:
            return True
        return (identity.epoch, identity.sequence) < (seen.epoch, seen.sequence)

    def remember(self, identity: StoreIdentity) -> None:
        """Raises the mark; never lowers it."""
        seen = self.seen
        new = (identity.epoch, identity.sequence)
        if seen.cloud_id == identity.cloud_id and new <= (seen.epoch, seen.sequence):
            return
        seen.cloud_id, seen.epoch, seen.sequence = identity.cloud_id, *new
        self._write(seen)

    def trust(self, identity: StoreIdentity, confirmation: str) -> None:
        """The operator confirmed this store: its position becomes the mark."""
        seen = self.seen
        seen.cloud_id, seen.epoch, seen.sequence = (
            identity.cloud_id,
            identity.epoch,
            identity.sequence,
        )
        seen.confirmation = confirmation
        self._write(seen)

    def raise_fence(self, fence: int) -> int:
        """Takes over the host; returns the fence to present, higher than any before."""
        seen = self.seen
        seen.fence = max(seen.fence + 1, fence)
        self._write(seen)
        return seen.fence

    def check_fence(self, fence: int) -> None:
        """Raises Fenced when a newer agent has taken over."""
        if self.seen.fence > fence:
            raise Fenced("A newer agent acts for this host; this one must stop.")

    def _read(self) -> None:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return
        identity = (stat.st_ino, stat.st_mtime_ns)
        if identity != self._stat:
            self._seen = msgspec.json.decode(self._path.read_bytes(), type=Seen)
            self._stat = identity

    def _write(self, seen: Seen) -> None:
        draft = self._path.with_suffix(".new")
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(seen))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        self._seen = seen
