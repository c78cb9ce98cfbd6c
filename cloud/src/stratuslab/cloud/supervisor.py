"""Runs a planned cloud: starts its processes, watches them, stops them in order.

Owns the processes and the status file; knows nothing of documents. Only one supervisor can hold
a data folder; processes that a killed one left behind are ended first.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import aiohttp

from stratuslab.cloud import leftovers, status
from stratuslab.cloud.bounded_log import keep_small
from stratuslab.cloud.child import Child
from stratuslab.cloud.folder_lock import FolderLock
from stratuslab.cloud.layout import DataFolder
from stratuslab.cloud.planning import Wanted, plan_cloud
from stratuslab.cloud.private_guests import end_private_libvirt
from stratuslab.cloud.processes import LIBVIRT, STOP_SECONDS, CloudPlan, programs
from stratuslab.cloud.status import CloudStatus
from stratuslab.core.errors import ConfigurationError, Unavailable

READY_SECONDS = 60.0
OWN_LOG_SECONDS = 60.0
ADMINISTRATOR = "admin"


class RunningCloud:
    """A cloud under supervision."""

    def __init__(self, plan: CloudPlan, children: list[Child]) -> None:
        self.plan = plan
        self.children = children
        self.status = CloudStatus(
            url=plan.url,
            cimi=f"{plan.url}/cimi",
            user=ADMINISTRATOR,
            password_file=str(plan.data.password_file),
            hypervisor=plan.choice.hypervisor,
            machines=plan.choice.why,
            guests_run_on=plan.choice.hypervisor == "libvirt" and not plan.choice.private,
            data=str(plan.data.path),
            pid=os.getpid(),
        )

    async def until_ready(self, progress: Callable[[list[str]], None]) -> None:
        """Waits until every process is ready; `progress` gets the names that are not yet.

        Raises ConfigurationError with the words of a process that says this machine or its
        settings are not in order, Unavailable when processes are not ready in time.
        """
        try:
            async with asyncio.timeout(READY_SECONDS):
                while waiting := [child for child in self.children if not child.status.ready]:
                    for child in waiting:
                        if child.refused.is_set():
                            raise ConfigurationError(child.last_words())
                    progress([child.program.name for child in waiting])
                    await asyncio.sleep(0.02)
        except TimeoutError:
            late = [child for child in self.children if not child.status.ready]
            words = "; ".join(f"{each.program.name}: {each.last_words()}" for each in late)
            raise Unavailable(
                f"Not ready after {READY_SECONDS:g} s: {words}.",
                hint=f"The logs are in {self.plan.data.logs}.",
            ) from None

    def set_state(self, state: str, message: str = "") -> None:
        """Tells the status file how the cloud as a whole is; a failure stays noted."""
        if self.status.state != "failed":
            self.status.state, self.status.message = state, message
        self.note()

    def note(self) -> None:
        """Writes the status file. On a full disk the cloud goes on and the file grows old."""
        self.status.processes = [child.status for child in self.children]
        with suppress(OSError):
            status.write(self.plan.data, self.status)


@asynccontextmanager
async def cloud(wanted: Wanted, tell: Callable[[str], None]) -> AsyncIterator[RunningCloud]:
    """A cloud that runs while the context is open. `tell` gets what an operator should know.

    Raises ConfigurationError.
    """
    data = wanted.data
    data.prepare()
    async with AsyncExitStack() as stack:
        stack.enter_context(FolderLock(data.lock))
        # Guests of a private libvirt outlive its killed keeper; the new one finds them again.
        if left := await leftovers.end(data.path, at_once=frozenset({LIBVIRT})):
            tell(f"Ended what an earlier cloud had left running: {', '.join(left)}.")
        plan = await asyncio.to_thread(plan_cloud, wanted, os.environ)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        children: list[Child] = []
        running = RunningCloud(plan, children)
        children.extend(
            Child(program, data.logs, session, changed=running.note, tell=tell)
            for program in programs(plan)
        )
        async with asyncio.TaskGroup() as tasks:
            own_log = tasks.create_task(_keep_own_log_small(data.supervisor_log))
            for child in children:
                tasks.create_task(child.run(), name=child.program.name)
            try:
                yield running
            finally:
                own_log.cancel()
                running.set_state("stopping")
                await _stop(children)
                await end_private_libvirt(data.libvirt)
                running.set_state("stopped")


async def stop_leftovers(data: DataFolder) -> list[str]:
    """Ends what a killed supervisor left, the guests of its private libvirt included; names."""
    names = await leftovers.end(data.path)
    if await end_private_libvirt(data.libvirt):
        names.append("guests")
    return names


async def _stop(children: list[Child]) -> None:
    """The front door first, then the services, then what they stand on."""
    for stage in sorted(STOP_SECONDS, reverse=True):
        await asyncio.gather(
            *(child.stop(STOP_SECONDS[stage]) for child in children if child.program.stage is stage)
        )


async def _keep_own_log_small(log: Path) -> None:
    while True:
        keep_small(log)
        await asyncio.sleep(OWN_LOG_SECONDS)
