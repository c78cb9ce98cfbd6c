"""Machine: its representation, its operations by state, and what a client may change."""

from __future__ import annotations

from datetime import datetime

import msgspec

from stratuslab.cimi_api.model.attributes import Body
from stratuslab.cimi_api.model.common import NAMESPACE, Extension, Reference, Representation, View
from stratuslab.core.contracts import Machine
from stratuslab.core.contracts.machine import RestartPolicy
from stratuslab.core.contracts.machine_states import DELETABLE, EDITABLE, OFFERED


class MachineCondition(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Something that is true of the machine and that its owner may want to know."""

    type: str
    reason: str
    message: str = ""
    since: datetime | None = None


class MachineAddress(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """How the guest is reached: `ssh` at `ssh_host`, `ssh_port`."""

    mac_address: str
    ip: str = ""
    ssh_host: str = ""
    ssh_port: int | None = None


class MachineRepresentation(Representation, kw_only=True, tag=f"{NAMESPACE}/Machine"):
    """DSP0263 Machine. `memory` is in KiB."""

    state: str
    cpu: int
    memory: int
    disks: Reference
    cpu_arch: str = ""
    volumes: Reference
    network_interfaces: Reference
    snapshots: Reference
    vmid: Extension[int]
    """The small number by which the stable command line names machines."""
    machine_image: Extension[Reference | None] = None
    credential: Extension[Reference | None] = None
    restart_policy: Extension[str]
    stop_reason: Extension[str] = ""
    addresses: Extension[list[MachineAddress]] = []
    conditions: Extension[list[MachineCondition]] = []
    host: Extension[str] = ""
    job: Extension[Reference | None] = None
    """The job of the last change."""


def represent(document: Machine, view: View) -> MachineRepresentation:
    """The document as CIMI shows it; the host is for administrators."""
    spec, status = document.spec, document.status
    uri = view.resource("machine", document.id)
    return MachineRepresentation(
        state=document.shown_state.value,
        cpu=spec.cpu,
        memory=spec.memory_kib,
        disks=Reference(f"{uri}/disks"),
        cpu_arch=spec.cpu_arch,
        volumes=Reference(f"{uri}/volumes"),
        network_interfaces=Reference(f"{uri}/networkInterfaces"),
        snapshots=Reference(f"{uri}/snapshots"),
        vmid=document.assignment.vmid,
        machine_image=_reference(view, "machine-image", spec.image.id),
        credential=_reference(view, "credential", spec.credential),
        restart_policy=spec.restart_policy,
        stop_reason=status.stop_reason or "",
        addresses=[
            MachineAddress(address.mac, address.ip or "", address.ssh_host or "", address.ssh_port)
            for address in status.addresses
        ],
        conditions=[
            MachineCondition(each.type, each.reason, each.message, each.since)
            for each in status.conditions
        ],
        host=(document.assignment.host or "") if view.administrator else "",
        job=_reference(view, "job", spec.job),
    )


def offered(document: Machine) -> frozenset[str]:
    """The operations this machine has now."""
    state = document.shown_state
    names = {offer.action.value for offer in OFFERED[state]}
    names.add("consoleLog")
    if state in EDITABLE:
        names.add("edit")
    if state in DELETABLE:
        names.add("delete")
    return frozenset(names)


class MachineBody(Body, kw_only=True):
    """What a client may change of a machine."""

    restart_policy: RestartPolicy | None = None


def body_of(document: Machine) -> MachineBody:
    """The writable attributes as they are now."""
    return MachineBody(restart_policy=document.spec.restart_policy)


def apply(document: Machine, body: MachineBody) -> None:
    """Writes the attributes that are this type's own."""
    document.spec.restart_policy = body.restart_policy or "on-host-reboot"


def _reference(view: View, kind: str, id: str | None) -> Reference | None:
    return Reference(view.resource(kind, id)) if id else None
