"""The settings of scheduler and node agent."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from stratuslab.core.settings import Setting, Settings


class SchedulerSettings(Settings, frozen=True, kw_only=True):
    """Section `vm-scheduler`."""

    section: ClassVar[str] = "vm-scheduler"

    sweep_seconds: Annotated[
        float, Setting("Time between looks for machines that no hint announced.", minimum=0.1)
    ] = 10.0
    sweep_shards: Annotated[
        int, Setting("Into how many parts replicas share a sweep.", minimum=1, maximum=256)
    ] = 4
    housekeeping_seconds: Annotated[
        float, Setting("Time between rounds of housekeeping.", minimum=0.1)
    ] = 10.0


class AgentSettings(Settings, frozen=True, kw_only=True):
    """Section `vm-agent`."""

    section: ClassVar[str] = "vm-agent"

    hypervisor: Annotated[
        Literal["libvirt", "simulated"], Setting("Which driver runs the machines.")
    ] = "libvirt"
    libvirt_uri: Annotated[str, Setting("Where libvirt is.")] = "qemu:///system"
    domain_type: Annotated[
        Literal["auto", "kvm", "qemu"],
        Setting("`auto` takes KVM only where the processor really offers it, else emulation."),
    ] = "auto"
    guest_network: Annotated[
        Literal["libvirt", "user"],
        Setting(
            "How guests are reached: a libvirt network with DHCP, or QEMU's user-mode network "
            "with a forwarded ssh port, which needs no rights."
        ),
    ] = "libvirt"
    folder: Annotated[
        str, Setting("Folder for what the host keeps itself: disks, seeds, consoles, its memory.")
    ] = "/var/lib/stratuslab/hosts"
    image_folders: Annotated[tuple[str, ...], Setting("Folders in which images may lie.")] = (
        "/var/lib/stratuslab/images",
    )
    host: Annotated[str, Setting("Name of this host; empty: its host name.")] = ""
    hosts: Annotated[
        int, Setting("How many simulated hosts this agent plays.", minimum=1, maximum=1000)
    ] = 1
    simulated_cpus: Annotated[
        int, Setting("Processors of a simulated host.", minimum=1, maximum=65536)
    ] = 256
    simulated_memory_gib: Annotated[
        int, Setting("Memory of a simulated host.", minimum=1, maximum=1048576)
    ] = 4096
    boot_id: Annotated[
        str, Setting("Boot of the host; empty: the kernel's. A private libvirt has its own.")
    ] = ""
    heartbeat_seconds: Annotated[
        float, Setting("Time between signs of life.", minimum=0.1, maximum=60)
    ] = 5.0
    lost_after_seconds: Annotated[
        float, Setting("Without a sign of life for so long the host counts as lost.", minimum=1)
    ] = 20.0
    sweep_seconds: Annotated[
        float, Setting("Time between looks for changes that no hint announced.", minimum=0.1)
    ] = 10.0
    inspection_seconds: Annotated[
        float, Setting("Time between comparisons of all domains with the documents.", minimum=0.1)
    ] = 30.0
    workers: Annotated[
        int, Setting("Machines that are worked on at once on a host.", minimum=1, maximum=256)
    ] = 16
    shutdown_patience_seconds: Annotated[
        float, Setting("How long a guest may ignore the power button.", minimum=1)
    ] = 60.0
