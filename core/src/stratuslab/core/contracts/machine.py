"""The Machine document and its tombstone.

The front writes `spec`, the scheduler `assignment`, the node agent `status`. The state a user
sees is derived from all three by `machine_states.shown_state`; it is stored nowhere else.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from stratuslab.core.contracts.machine_states import (
    MachineState,
    Power,
    SettledState,
    is_settled,
    shown_state,
)
from stratuslab.core.documents.frame import Condition, Document
from stratuslab.core.documents.kinds import Field, Kind

RestartPolicy = Literal["never", "on-host-reboot", "always"]


class DiskSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """A local disk beside the boot disk; made with the machine, destroyed with it."""

    capacity_bytes: int
    format: str = ""
    """`swap` for swap space, a file system's name, or empty for a blank disk."""
    initial_location: str = ""


class ImageReference(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The image the machine was made from. `location` is a copy: the image may be deleted."""

    id: str
    location: str


class GuestLogin(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Who may log in to the guest: passed to it by cloud-init."""

    user_name: str = ""
    public_key: str = ""


class MachineSpec(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """What the user wants."""

    cpu: int
    memory_kib: int
    image: ImageReference
    disks: list[DiskSpec] = []
    cpu_arch: str = "x86_64"
    login: GuestLogin | None = None
    credential: str | None = None
    """Id of the Credential that `login` was taken from."""
    has_user_data: bool = False
    """Whether a Secret with this machine's id holds user data."""
    restart_policy: RestartPolicy = "on-host-reboot"
    power: Power = Power.STOPPED
    force: bool = False
    """The last stop or restart asked to cut the power instead of asking the guest."""
    restarts: int = 0
    """How often a restart was asked for."""
    job: str | None = None
    """Id of the Job of the last change."""


class MachineAssignment(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """What was given to the machine: truth, never rebuilt."""

    vmid: int
    """The small number by which the stable command line names machines."""
    host: str | None = None
    fence: int = 0
    """Grows with each assignment to a host; hosts refuse lower ones than they have seen."""


class GuestAddress(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """How the guest is reached. `ssh_host:ssh_port` is where its ssh answers, if known."""

    mac: str
    ip: str | None = None
    ssh_host: str | None = None
    ssh_port: int | None = None


class MachineStatus(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """What the node agent observed; can be rebuilt from the host at any time."""

    state: SettledState = SettledState.NEW
    observed_generation: int = 0
    """The spec generation that was carried out, or given up with a condition."""
    restarts: int = 0
    stop_reason: str | None = None
    """guest, requested, crash, host-reboot, unknown"""
    boot_id: str = ""
    addresses: list[GuestAddress] = []
    conditions: list[Condition] = []
    changed: datetime | None = None


class Machine(Document, tag="machine"):
    """A virtual machine. Its id is the UUID of its domain."""

    spec: MachineSpec
    assignment: MachineAssignment
    status: MachineStatus = msgspec.field(default_factory=MachineStatus)

    @property
    def shown_state(self) -> MachineState:
        """The CIMI state a user sees."""
        return shown_state(
            self.status.state,
            self.spec.power,
            settled=self.settled,
            restarting=self.spec.restarts > self.status.restarts,
            deleting=self.deletion_requested is not None,
        )

    @property
    def settled(self) -> bool:
        """Nothing is left to do for the last change of the spec."""
        return is_settled(
            self.generation,
            self.status.observed_generation,
            deleting=self.deletion_requested is not None,
        )


MACHINE = Kind(
    "machine",
    Machine,
    (
        Field("created", lambda m: m.created.isoformat() if m.created else None),
        Field("name", lambda m: m.name),
        Field("owner", lambda m: m.owner),
        Field("state", lambda m: m.shown_state.value),
        Field("host", lambda m: m.assignment.host),
        Field("vmid", lambda m: m.assignment.vmid, unique=True),
        Field("image", lambda m: m.spec.image.id),
        Field("unscheduled", lambda m: 1 if m.assignment.host is None else None),
        Field("unsettled", lambda m: None if m.settled else 1),
    ),
)


class MachineTombstone(Document, tag="machine-tombstone"):
    """What stays of a deleted machine for a while: the stable command line shows it as Done."""

    vmid: int
    host: str | None = None
    deleted: datetime | None = None


MACHINE_TOMBSTONE = Kind(
    "machine-tombstone",
    MachineTombstone,
    (
        Field("created", lambda t: t.created.isoformat() if t.created else None),
        Field("vmid", lambda t: t.vmid, unique=True),
    ),
)
