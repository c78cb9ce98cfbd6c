"""Which processes make up a cloud, with what arguments, settings and order of stopping. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from stratuslab.cloud.hypervisors import SYSTEM_URI, Choice
from stratuslab.cloud.layout import DataFolder
from stratuslab.cloud.leftovers import marked

SERVICES = ("store", "cimi-api", "vm-scheduler", "vm-agent", "edge")
"""Everything that has an account on the bus, but for the operator."""

MODULES: Mapping[str, tuple[str, ...]] = {
    "store": ("stratuslab.core.store",),
    "cimi-api": ("stratuslab.cimi_api",),
    "vm-scheduler": ("stratuslab.vm_controller", "scheduler"),
    "vm-agent": ("stratuslab.vm_controller", "agent"),
    "edge": ("stratuslab.cloud.edge",),
}
LIBVIRT = "libvirt"
GUEST_GRACE_SECONDS = 3.0
"""What guests of a private libvirt may take after the power button when the cloud goes down."""
DRAIN_SECONDS = 3.5


class Stage(IntEnum):
    """Processes are stopped stage by stage, highest first."""

    BUS = 0
    GROUND = 1
    """What services stand on: the store, a private libvirt with its guests."""
    SERVICE = 2
    DOOR = 3


STOP_SECONDS: Mapping[Stage, float] = {
    Stage.DOOR: 2.0,
    Stage.SERVICE: 5.0,
    Stage.GROUND: 7.0,
    Stage.BUS: 1.0,
}
"""How long the processes of a stage may take; 15 s in all."""


@dataclass(frozen=True)
class Program:
    """One process of the cloud."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ops_file: Path | None = None
    """Into this file the process writes the address of its health."""
    port: int | None = None
    """Or: it is ready when this loopback port accepts."""
    socket: Path | None = None
    """Or: it is ready when this unix socket accepts."""
    stage: Stage = Stage.SERVICE


@dataclass(frozen=True)
class CloudPlan:
    """What is common to all processes."""

    data: DataFolder
    listen: str
    url: str
    bus_port: int
    bus_argv: tuple[str, ...]
    choice: Choice
    hosts: int = 1
    host: str = "host"
    """The name of the host, or the beginning of the names of several."""
    libvirt_uri: str = SYSTEM_URI
    libvirt_socket: Path | None = None
    """Of a private libvirt."""
    boot_id: str = ""
    """Of a private libvirt's guests; else empty."""
    base: Mapping[str, str] = field(default_factory=dict)
    """The little of the operator's environment that every process gets."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """The operator's own STRATUSLAB_ variables, for the services."""


def programs(plan: CloudPlan) -> list[Program]:
    """All processes, in the order in which they are started."""
    bus = Program(
        "nats",
        plan.bus_argv,
        {**plan.base, **marked(plan.data.path, "nats")},
        port=plan.bus_port,
        stage=Stage.BUS,
    )
    private = [_private_libvirt(plan)] if plan.choice.private else []
    return [bus, *private, *(_service(plan, name) for name in SERVICES)]


def stop_guests_argv(folder: Path) -> tuple[str, ...]:
    """What stops a private libvirt and its guests."""
    return (*_private_libvirt_argv(folder), "--stop-guests")


def _private_libvirt_argv(folder: Path) -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "stratuslab.vm_controller.private_libvirt"),
        *("--folder", str(folder), "--grace-seconds", str(GUEST_GRACE_SECONDS)),
    )


def _private_libvirt(plan: CloudPlan) -> Program:
    return Program(
        LIBVIRT,
        (*_private_libvirt_argv(plan.data.libvirt), "--stop-guests-at-exit"),
        {**plan.base, **marked(plan.data.path, LIBVIRT)},
        socket=plan.libvirt_socket,
        stage=Stage.GROUND,
    )


def _service(plan: CloudPlan, name: str) -> Program:
    ops_file = plan.data.run / f"{name}.ops"
    environment = {
        **plan.base,
        **marked(plan.data.path, name),
        "STRATUSLAB_DRAIN_SECONDS": str(DRAIN_SECONDS),
        **_preferences(plan, name),
        **plan.settings,
        "STRATUSLAB_STORE": f"sqlite:{plan.data.store}",
        "STRATUSLAB_BUS": f"nats://127.0.0.1:{plan.bus_port}",
        "STRATUSLAB_BUS_CREDENTIALS_FILE": str(plan.data.credentials(name)),
        "STRATUSLAB_VAULT_KEY_FILE": str(plan.data.vault_key),
        "STRATUSLAB_OPS_LISTEN": "127.0.0.1:0",
        "STRATUSLAB_OPS_ADDRESS_FILE": str(ops_file),
        **_wiring(plan, name),
    }
    return Program(
        name,
        (sys.executable, "-m", *MODULES[name]),
        environment,
        ops_file=ops_file,
        stage={"store": Stage.GROUND, "edge": Stage.DOOR}.get(name, Stage.SERVICE),
    )


def _preferences(plan: CloudPlan, name: str) -> dict[str, str]:
    """Settings that the operator's own come before."""
    return {"STRATUSLAB_VM_AGENT_HOST": plan.host} if name == "vm-agent" else {}


def _wiring(plan: CloudPlan, name: str) -> dict[str, str]:
    """Settings that make the processes find each other, and stay in the data folder."""
    data, choice = plan.data, plan.choice
    if name == "cimi-api":
        return {
            "STRATUSLAB_CIMI_API_LISTEN": f"unix:{data.cimi_socket}",
            "STRATUSLAB_CIMI_API_TRUST_FORWARDED": "true",
            "STRATUSLAB_CIMI_API_ADMIN_PASSWORD_FILE": str(data.password_file),
            "STRATUSLAB_CIMI_API_IMAGE_FOLDERS": str(data.images),
        }
    if name == "vm-agent":
        return {
            "STRATUSLAB_VM_AGENT_HYPERVISOR": choice.hypervisor,
            "STRATUSLAB_VM_AGENT_HOSTS": str(plan.hosts),
            "STRATUSLAB_VM_AGENT_FOLDER": str(data.hosts),
            "STRATUSLAB_VM_AGENT_IMAGE_FOLDERS": str(data.images),
            "STRATUSLAB_VM_AGENT_GUEST_NETWORK": choice.guest_network,
            "STRATUSLAB_VM_AGENT_LIBVIRT_URI": plan.libvirt_uri,
            "STRATUSLAB_VM_AGENT_BOOT_ID": plan.boot_id,
        }
    if name == "edge":
        return {
            "STRATUSLAB_EDGE_LISTEN": plan.listen,
            "STRATUSLAB_EDGE_CIMI": f"unix:{data.cimi_socket}",
        }
    return {}
