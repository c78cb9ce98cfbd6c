"""The machine's disks before there is a storage service: the port that pdisk will take over.

Adapters: `boot_disk_overlay` (copy-on-write files on the host) and `boot_disk_simulated`.
Every call is idempotent; all files of a machine lie in one folder named by its id.
"""

from __future__ import annotations

from typing import Protocol

from stratuslab.core.contracts.machine import DiskSpec
from stratuslab.vm_controller.drivers.base import DomainDisk


class BootDisks(Protocol):
    """Makes the disks of one host's machines.

    Calls raise `DomainRejected` when the image or the disk cannot be had as described, and
    `Unavailable` when the host is short of something now.
    """

    async def prepare(self, machine_id: str, image_location: str) -> DomainDisk:
        """The machine's own boot disk, made from the image at `image_location` (`file://`)."""
        ...

    async def prepare_data(self, machine_id: str, number: int, disk: DiskSpec) -> DomainDisk:
        """The machine's local disk `number`, counted from 0."""
        ...

    async def release(self, machine_id: str) -> None:
        """Destroy the machine's disks; nothing there is success."""
        ...
