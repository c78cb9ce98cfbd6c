"""The end of a console log that virtlogd rotates: FILE, then FILE.0 and so on, ever older."""

from __future__ import annotations

import os
from pathlib import Path

from stratuslab.vm_controller.drivers.base import DomainRejected

MOST_BACKUPS = 10


def log_tail(file: Path, max_bytes: int) -> bytes:
    """The last `max_bytes` over all parts; empty when there is no log.

    Raises DomainRejected when this process may not read it.
    """
    parts: list[bytes] = []
    missing = max_bytes
    backups = [file.with_name(f"{file.name}.{number}") for number in range(MOST_BACKUPS)]
    for part in [file, *backups]:
        if missing <= 0:
            break
        try:
            with part.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - missing))
                parts.append(stream.read(missing))
        except FileNotFoundError:
            if part is not file:
                break
        except PermissionError as error:
            raise DomainRejected(
                f"The console log {part} may not be read by this user.",
                hint="libvirt's log daemon writes it as root: run the agent as root, or use a "
                "session instance.",
            ) from error
        else:
            missing -= len(parts[-1])
    return b"".join(reversed(parts))
