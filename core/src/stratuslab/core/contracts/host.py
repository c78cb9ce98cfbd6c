"""The Host document: `spec` by the operator, `assignment` by schedulers, `status` by the agent."""

from __future__ import annotations

from datetime import datetime

import msgspec

from stratuslab.core.documents.frame import Condition, Document
from stratuslab.core.documents.kinds import Field, Kind


class HostSpec(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """What the operator wants."""

    schedulable: bool = True
    """False drains: what runs stays, nothing new comes."""
    cpu_overcommit: float = 8.0
    """Virtual processors per real one."""
    memory_overcommit: float = 1.0
    confirmation: str = ""
    """A new random word here is the operator's confirmation that this store may be obeyed."""


class HostAssignment(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """What is reserved for machines: the sum over the machines assigned to the host.

    Raised by the compare-and-swap that assigns machines, corrected by the scheduler's sweep.
    """

    cpu: int = 0
    memory_kib: int = 0
    machines: int = 0
    lost: bool = False
    """Its heartbeat stopped; what runs there keeps running."""


class QuarantinedDomain(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A domain of this cloud's making that no document names. Shown, never destroyed."""

    id: str
    name: str
    state: str
    reason: str


class HostStatus(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """What the node agent found."""

    hypervisor: str = ""
    domain_type: str = ""
    cpu_arch: str = ""
    cpu_count: int = 0
    cpu_speed_mhz: int = 0
    memory_kib: int = 0
    boot_id: str = ""
    observing_only: bool = False
    """The agent does not act: the store looks older than what this host has seen."""
    quarantined: list[QuarantinedDomain] = []
    conditions: list[Condition] = []


class Host(Document, tag="host"):
    """One machine with a hypervisor. Its id is the host's name."""

    spec: HostSpec = msgspec.field(default_factory=HostSpec)
    assignment: HostAssignment = msgspec.field(default_factory=HostAssignment)
    status: HostStatus = msgspec.field(default_factory=HostStatus)


HOST = Kind("host", Host, (Field("name", lambda h: h.name),))


class Heartbeat(Document, tag="heartbeat"):
    """The agent of this host is alive; lives a few seconds. Its id is the host's name."""

    agent: str = ""
    """Identity of the agent process."""
    at: datetime | None = None


HEARTBEAT = Kind("heartbeat", Heartbeat, visible=False, volatile=True)
