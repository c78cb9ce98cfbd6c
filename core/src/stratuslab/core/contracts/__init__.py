"""What services share: the types of documents and of messages. Importing it declares all kinds."""

from stratuslab.core.contracts.account import CREDENTIAL, USER, Credential, User
from stratuslab.core.contracts.catalogue import (
    MACHINE_CONFIGURATION,
    MACHINE_IMAGE,
    MACHINE_TEMPLATE,
    MachineConfiguration,
    MachineImage,
    MachineTemplate,
)
from stratuslab.core.contracts.coordination import CLAIM, LEASE, Claim, Lease
from stratuslab.core.contracts.host import HEARTBEAT, HOST, Heartbeat, Host
from stratuslab.core.contracts.job import JOB, Job
from stratuslab.core.contracts.machine import MACHINE, MACHINE_TOMBSTONE, Machine, MachineTombstone
from stratuslab.core.contracts.secret import SECRET, Secret

__all__ = [
    "CLAIM",
    "CREDENTIAL",
    "HEARTBEAT",
    "HOST",
    "JOB",
    "LEASE",
    "MACHINE",
    "MACHINE_CONFIGURATION",
    "MACHINE_IMAGE",
    "MACHINE_TEMPLATE",
    "MACHINE_TOMBSTONE",
    "SECRET",
    "USER",
    "Claim",
    "Credential",
    "Heartbeat",
    "Host",
    "Job",
    "Lease",
    "Machine",
    "MachineConfiguration",
    "MachineImage",
    "MachineTemplate",
    "MachineTombstone",
    "Secret",
    "User",
]
