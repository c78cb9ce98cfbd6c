"""Which processes make up a cloud, with what arguments and settings. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stratuslab.cloud.hypervisors import SYSTEM_URI, Choice
from stratuslab.cloud.layout import DataFolder

SERVICES = ("store", "cimi-api", "vm-scheduler", "vm-agent", "edge")
"""Everything that has an account on the bus, but for the operator."""

MODULES = {
    "store": "stratuslab.core.store",
    "cimi-api": "stratuslab.cimi_api",
    "edge": "stratuslab.cloud.edge",
}


@dataclass(frozen=True)
class Program:
    """One process of the cloud. `stage`: lower ones stop later."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ops_file: Path | None = None
    """Into this file the process writes the address of its health."""
    port: int | None = None
    """Or: it is ready when this loopback port accepts."""
    stage: int = 2


@dataclass(frozen=True)
class CloudPlan:
    """What is common to all processes."""

    data: DataFolder
    listen: str
    url: str
    bus_port: int
    bus_argv: tuple[str, ...]
    choice: Choice
    hosts: int
    libvirt_uri: str = SYSTEM_URI
    boot_id: str = ""
    passed: Mapping[str, str] = field(default_factory=dict)
    """The operator's own STRATUSLAB_ variables."""


def programs(plan: CloudPlan) -> list[Program]:
    """All processes, in the order in which they are started."""
    found = [
        Program("nats", plan.bus_argv, base_environment(), port=plan.bus_port, stage=0),
    ]
    if plan.choice.private:
        found.append(
            Program(
                "libvirt",
                (
                    sys.executable,
                    "-m",
                    "stratuslab.vm_controller.private_libvirt",
                    "--folder",
                    str(plan.data.libvirt),
                    "--stop-guests-at-exit",
                ),
                base_environment(),
                stage=0,
            )
        )
    return [*found, *(_service(plan, name) for name in SERVICES)]


def _service(plan: CloudPlan, name: str) -> Program:
    ops_file = plan.data.run / f"{name}.ops"
    own = {
        "cimi-api": _front(plan),
        "vm-agent": _agent(plan),
        "edge": {
            "STRATUSLAB_EDGE_LISTEN": plan.listen,
            "STRATUSLAB_EDGE_CIMI": f"unix:{plan.data.cimi_socket}",
        },
    }.get(name, {})
    module = MODULES.get(name, "stratuslab.vm_controller")
    role = (name.removeprefix("vm-"),) if name.startswith("vm-") else ()
    return Program(
        name,
        (sys.executable, "-m", module, *role),
        {
            **base_environment(),
            **plan.passed,
            "STRATUSLAB_STORE": f"sqlite:{plan.data.store}",
            "STRATUSLAB_BUS": f"nats://127.0.0.1:{plan.bus_port}",
            "STRATUSLAB_BUS_CREDENTIALS_FILE": str(plan.data.credentials(name)),
            "STRATUSLAB_VAULT_KEY_FILE": str(plan.data.secrets / "vault.key"),
            "STRATUSLAB_OPS_LISTEN": "127.0.0.1:0",
            "STRATUSLAB_OPS_ADDRESS_FILE": str(ops_file),
            **own,
        },
        ops_file=ops_file,
        stage={"store": 1, "edge": 3}.get(name, 2),
    )


def _front(plan: CloudPlan) -> dict[str, str]:
    return {
        "STRATUSLAB_CIMI_API_LISTEN": f"unix:{plan.data.cimi_socket}",
        "STRATUSLAB_CIMI_API_TRUST_FORWARDED": "true",
        "STRATUSLAB_CIMI_API_ADMIN_PASSWORD_FILE": str(plan.data.password_file),
        "STRATUSLAB_CIMI_API_IMAGE_FOLDERS": str(plan.data.images),
    }


def _agent(plan: CloudPlan) -> dict[str, str]:
    return {
        "STRATUSLAB_VM_AGENT_HYPERVISOR": plan.choice.hypervisor,
        "STRATUSLAB_VM_AGENT_HOSTS": str(plan.hosts),
        "STRATUSLAB_VM_AGENT_FOLDER": str(plan.data.hosts),
        "STRATUSLAB_VM_AGENT_IMAGE_FOLDERS": str(plan.data.images),
        "STRATUSLAB_VM_AGENT_GUEST_NETWORK": plan.choice.guest_network,
        "STRATUSLAB_VM_AGENT_LIBVIRT_URI": plan.libvirt_uri,
        "STRATUSLAB_VM_AGENT_BOOT_ID": plan.boot_id,
        **({"STRATUSLAB_VM_AGENT_HOST": "host"} if plan.choice.hypervisor == "simulated" else {}),
    }


def base_environment() -> dict[str, str]:
    """The little of our own environment that children get."""
    import os

    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "XDG_RUNTIME_DIR")
    path = os.environ.get("PATH", os.defpath)
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "PATH": f"{path}:/usr/sbin:/sbin",
        "PYTHONUNBUFFERED": "1",
    }
