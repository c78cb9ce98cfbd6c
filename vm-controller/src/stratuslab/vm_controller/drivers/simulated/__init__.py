"""A simulated host: a hypervisor without virtual machines, for clouds on a laptop and for tests.

Ships with the product as its "simulated cloud" mode. A host is a folder with a journal that
outlives every process; a domain runs because the journal says so. See `journal` for its lines,
`behaviour` for slow, failing and mute hosts, `outside` for guests that halt and hosts that
reboot, `history` for proofs that each machine ran exactly once at a time.
"""

from stratuslab.vm_controller.drivers.simulated.behaviour import (
    FAILING,
    FULL,
    NEVER_ANSWERS,
    NORMAL,
    PRESETS,
    SLOW,
    Behaviour,
)
from stratuslab.vm_controller.drivers.simulated.history import (
    check_journals,
    hosts_of,
    read_host,
    read_journal,
)
from stratuslab.vm_controller.drivers.simulated.hypervisor import SimulatedHypervisor
from stratuslab.vm_controller.drivers.simulated.journal import fold

__all__ = [
    "FAILING",
    "FULL",
    "NEVER_ANSWERS",
    "NORMAL",
    "PRESETS",
    "SLOW",
    "Behaviour",
    "SimulatedHypervisor",
    "check_journals",
    "fold",
    "hosts_of",
    "read_host",
    "read_journal",
]
