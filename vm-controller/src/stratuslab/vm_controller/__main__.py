"""The commands `stratuslab-vm-scheduler` and `stratuslab-vm-agent`."""

from __future__ import annotations

import sys

from stratuslab.core.service import run
from stratuslab.vm_controller.app import run_agent, run_scheduler
from stratuslab.vm_controller.settings import AgentSettings, SchedulerSettings


def scheduler() -> None:
    """Runs a scheduler until it is told to stop."""
    run("vm-scheduler", SchedulerSettings, run_scheduler)


def agent() -> None:
    """Runs a node agent until it is told to stop."""
    run("vm-agent", AgentSettings, run_agent)


if __name__ == "__main__":
    {"scheduler": scheduler, "agent": agent}[sys.argv[1]]()
