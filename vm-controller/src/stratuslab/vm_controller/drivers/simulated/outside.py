"""What happens to a simulated host without the cloud's doing: guests halt, hosts reboot.

For tests, and for people who want to see what their cloud does about it. Each function appends
to the host's journal as the guest or the host itself would, whether or not an agent runs.
All raise `HypervisorUnavailable` where there is no such host.
"""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

import msgspec

from stratuslab.vm_controller.drivers.base import Domain, HypervisorUnavailable
from stratuslab.vm_controller.drivers.simulated import decisions
from stratuslab.vm_controller.drivers.simulated.behaviour import Behaviour
from stratuslab.vm_controller.drivers.simulated.journal import Event, Happening
from stratuslab.vm_controller.drivers.simulated.journal_file import (
    Decision,
    JournalFile,
    host_folder,
)


def halt(folder: Path, host: str, id: str) -> None:
    """The guest powers itself off. Raises `DomainNotFound`, `DomainRejected` if not running."""
    _record(folder, host, lambda state: decisions.halt(state, id))


def crash(folder: Path, host: str, id: str) -> None:
    """The guest crashes. Raises `DomainNotFound`, `DomainRejected` if not running."""
    _record(folder, host, lambda state: decisions.crash(state, id))


def reboot_host(folder: Path, host: str) -> str:
    """The host reboots: what ran is stopped, what was suspended still is; the new boot id."""
    boot_id = str(uuid.uuid4())
    _record(
        folder,
        host,
        lambda state: Happening(
            event=Event.BOOTED, boot_id=boot_id, machine_boot_id=state.machine_boot_id
        ),
    )
    return boot_id


def start_foreign(folder: Path, host: str, name: str) -> str:
    """Somebody starts a domain of his own, without the cloud's mark; its UUID."""
    id = str(uuid.uuid4())
    _record(
        folder,
        host,
        lambda _: Happening(
            event=Event.STARTED, id=id, name=name, cpu=1, memory_kib=65_536, mac="52:54:00:00:00:01"
        ),
    )
    return id


def list_domains(folder: Path, host: str) -> list[Domain]:
    """All domains of the host."""
    journal = JournalFile(host_folder(folder, host), create=False)
    try:
        state, now = journal.look(), time.time()
        return [domain.seen(now) for domain in state.domains.values()]
    finally:
        journal.close()


def behave(folder: Path, host: str, behaviour: Behaviour | None) -> None:
    """Give a host, running or not, other manners; None: those its agent was started with."""
    path = host_folder(folder, host) / "behaviour.json"
    if not path.parent.is_dir():
        raise HypervisorUnavailable(f"There is no simulated host: {path.parent} does not exist.")
    if behaviour is None:
        path.unlink(missing_ok=True)
        return
    new = path.with_name(f"behaviour.{os.getpid()}.new")
    new.write_bytes(msgspec.json.format(msgspec.json.encode(behaviour)) + b"\n")
    new.replace(path)


def _record(folder: Path, host: str, decide: Decision) -> None:
    journal = JournalFile(host_folder(folder, host), create=False)
    try:
        journal.record(decide)
    finally:
        journal.close()
