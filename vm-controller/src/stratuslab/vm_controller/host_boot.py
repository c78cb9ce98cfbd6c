"""Which boot of this host we are in. It must import nothing of the project."""

from __future__ import annotations

from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def host_boot_id() -> str:
    """Changes when every process of this host, or of this container, has ended.

    The kernel's boot id alone would stay the same over a restart of the container, which ends
    all guests just as well: so the start of process 1, in clock ticks, is part of it.
    """
    return f"{BOOT_ID.read_text().strip()}-{process_start_ticks(1) or 0}"


def process_start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it is gone or hidden."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])
