"""A process that drives a simulated host: FOLDER HOST FENCE SEED COUNT LIMIT_BYTES.

Prints its process id once it is connected, then does random operations until done or killed.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import uuid
from pathlib import Path

from stratuslab.vm_controller.drivers.base import (
    DomainMark,
    DomainNotFound,
    DomainRejected,
    DomainSpec,
    GuestInterface,
)
from stratuslab.vm_controller.drivers.simulated import Behaviour, SimulatedHypervisor

IDS = [str(uuid.UUID(int=number)) for number in range(1, 9)]


async def drive(folder: Path, host: str, fence: int, seed: int, count: int, limit: int) -> None:
    chance = random.Random(seed)
    behaviour = Behaviour(shutdown_seconds=0.003)
    async with SimulatedHypervisor(
        folder,
        host,
        cpu_count=1,
        memory_kib=1_000_000,
        behaviour=behaviour,
        journal_limit_bytes=limit,
    ) as hypervisor:
        print(os.getpid(), flush=True)
        for number in range(1, count + 1):
            id = chance.choice(IDS)
            mark = DomainMark(cloud_id="cloud", generation=number, fence=fence)
            spec = DomainSpec(
                id=id,
                name=id,
                cpu=1,
                memory_kib=1024,
                disks=(),
                interface=GuestInterface(mac="52:54:00:00:00:02"),
                console_log=Path("/nowhere"),
                mark=mark,
            )
            try:
                match chance.randrange(6):
                    case 0 | 1:
                        await hypervisor.start(spec)
                    case 2:
                        await hypervisor.pause(id, mark)
                    case 3:
                        await hypervisor.shutdown(id, mark)
                    case 4:
                        await hypervisor.stop(id, mark)
                    case 5:
                        await hypervisor.remove(id)
            except (DomainNotFound, DomainRejected):
                pass


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[3:]]
    asyncio.run(drive(Path(sys.argv[1]), sys.argv[2], *numbers))
