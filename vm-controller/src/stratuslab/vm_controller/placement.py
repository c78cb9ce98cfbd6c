"""Which host a machine goes to: filter by room and constraints, weigh, choose among the best.

Pure: random numbers come in as an argument. Memory is counted as what a guest really costs on
the host, which under emulation is far more than the guest sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from stratuslab.core.contracts.host import Host
from stratuslab.core.contracts.machine import MachineSpec

BEST_FEW = 3
"""A machine goes to one of the best few at random, so that schedulers do not collide."""

EMULATION_OVERHEAD_KIB = 1024 * 1024
"""Most of what QEMU's translation cache takes beside the guest's memory."""

VIRTUALISATION_OVERHEAD_KIB = 64 * 1024


@dataclass
class Room:
    """What is free on a host while a batch of machines is being placed."""

    host: Host
    cpu: float
    memory_kib: float

    @property
    def share_free(self) -> float:
        """The scarcer of the two free shares, 0 to 1; the more the better."""
        status = self.host.status
        return min(
            self.cpu / max(status.cpu_count * self.host.spec.cpu_overcommit, 1),
            self.memory_kib / max(status.memory_kib * self.host.spec.memory_overcommit, 1),
        )


def memory_cost_kib(memory_kib: int, domain_type: str) -> int:
    """What a guest of this size takes from the host."""
    if domain_type == "simulated":
        return memory_kib
    if domain_type == "kvm":
        return memory_kib + VIRTUALISATION_OVERHEAD_KIB
    return memory_kib + min(2 * memory_kib, EMULATION_OVERHEAD_KIB)


def room_of(host: Host) -> Room:
    """What is free on this host by its own reservations."""
    status, spec, taken = host.status, host.spec, host.assignment
    return Room(
        host=host,
        cpu=status.cpu_count * spec.cpu_overcommit - taken.cpu,
        memory_kib=status.memory_kib * spec.memory_overcommit - taken.memory_kib,
    )


def rooms(hosts: Iterable[Host], alive: Callable[[str], bool]) -> list[Room]:
    """The hosts that may get machines."""
    return [
        room_of(host)
        for host in hosts
        if host.spec.schedulable
        and host.status.cpu_count > 0
        and not host.status.observing_only
        and host.deletion_requested is None
        and alive(host.id)
    ]


def choose(rooms: Sequence[Room], spec: MachineSpec, random: Callable[[], float]) -> Room | None:
    """A host for this machine, its room already reduced; None when none has any."""
    fitting = [room for room in rooms if fits(room, spec)]
    if not fitting:
        return None
    fitting.sort(key=lambda room: room.share_free, reverse=True)
    best = fitting[:BEST_FEW]
    chosen = best[int(random() * len(best))]
    chosen.cpu -= spec.cpu
    chosen.memory_kib -= memory_cost_kib(spec.memory_kib, chosen.host.status.domain_type)
    return chosen


def fits(room: Room, spec: MachineSpec) -> bool:
    """Whether the machine has room there and can run there at all."""
    status = room.host.status
    return (
        spec.cpu_arch == status.cpu_arch
        and spec.cpu <= room.cpu
        and memory_cost_kib(spec.memory_kib, status.domain_type) <= room.memory_kib
    )
