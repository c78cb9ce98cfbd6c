"""What can be seen of a simulated guest from outside: its serial console and its address (pure).

Nothing of it is stored: it follows from the domain and the time. The banner has the form of the
one that the real guest image prints, so that whoever waits for the one finds the other.
"""

from __future__ import annotations

from uuid import UUID

from stratuslab.vm_controller.drivers.base import DomainState, StopReason
from stratuslab.vm_controller.drivers.simulated.journal import SimulatedDomain


def address_of(id: str) -> str:
    """The IPv4 address in 10.0.0.0/8 that a simulated guest with this UUID has."""
    digest = UUID(id).int % (256 * 256 * 254)
    high, last = divmod(digest, 254)
    return f"10.{high >> 8}.{high & 255}.{last + 1}"


def is_ready(domain: SimulatedDomain, now: float) -> bool:
    """Whether the guest has booted and is there to answer; a frozen one's time stands still."""
    if not domain.is_active or domain.is_over(now):
        return False
    return domain.ready_at <= _guest_time(domain, now)


def console_of(domain: SimulatedDomain, now: float) -> bytes:
    """The console since the last boot."""
    lines = [
        "SeaBIOS (simulated)",
        "Booting from Hard Disk...",
        f"[    0.000000] Linux version 6.1.0-simulated ({domain.cpu} CPUs)",
        f"[    0.010000] Memory: {domain.memory_kib}K available",
        f"[    0.120000] virtio_net virtio0 eth0: {domain.mac}",
    ]
    if domain.ready_at <= _guest_time(domain, now):
        address = address_of(domain.id)
        uptime = domain.boot_seconds
        lines += [
            f"[    {uptime:.6f}] init: network is up",
            f"STRATUSLAB READY name={domain.name} address={address} ssh=no uptime={uptime:.2f}",
            "",
            f"{domain.name} login:",
        ]
    lines += _last_words(domain, now)
    return "\r\n".join(lines).encode() + b"\r\n"


def _last_words(domain: SimulatedDomain, now: float) -> list[str]:
    if domain.state is DomainState.STOPPED:
        if domain.stop_reason is StopReason.CRASH:
            return ["Kernel panic - not syncing: simulated crash"]
        if domain.stop_reason is StopReason.GUEST:
            return ["reboot: Power down"]
    if domain.is_over(now):
        return ["reboot: Power down"]
    return []


def _guest_time(domain: SimulatedDomain, now: float) -> float:
    if domain.ended_at is not None:
        return domain.ended_at
    return now if domain.frozen_at is None else domain.frozen_at
