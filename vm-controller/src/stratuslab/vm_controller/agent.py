"""The node agent: carries out on one host what the documents say, and reports what is there.

Owns the host's lease, heartbeat and Host document, and feeds the machine controller from hints,
hypervisor events and sweeps. What it must never do: act for a host whose newer agent has taken
over, or on the word of a store that is older than what this host has seen.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import uuid4

import structlog

from stratuslab.core import leases
from stratuslab.core.bus.base import Bus
from stratuslab.core.contracts import HOST, MACHINE, Heartbeat, Host
from stratuslab.core.contracts.host import HostStatus, QuarantinedDomain
from stratuslab.core.contracts.messages import (
    HOST_FREED,
    MACHINE_CHANGED,
    MACHINE_CONSOLE,
    ConsoleQuery,
    ConsoleReply,
)
from stratuslab.core.documents.frame import Condition, now
from stratuslab.core.errors import Conflict, NotFound, StratusLabError, TransientError, Unavailable
from stratuslab.core.reconcile import Reconciler, Sweep
from stratuslab.core.store.base import MAX_PAGE, Query, Store
from stratuslab.vm_controller.controller import HostIdentity, MachineController
from stratuslab.vm_controller.drivers.base import HostFacts, Hypervisor
from stratuslab.vm_controller.guest import GuestParts
from stratuslab.vm_controller.host_memory import Fenced, HostMemory
from stratuslab.vm_controller.lifecycle import differs
from stratuslab.vm_controller.metrics import AGENT_FAILURES, QUARANTINED_DOMAINS

log = structlog.get_logger()

R = TypeVar("R")

MAX_CONSOLE_BYTES = 256 * 1024


@dataclass(frozen=True)
class AgentOptions:
    """The agent's numbers; see the settings of the same names."""

    heartbeat_seconds: float = 5.0
    heartbeat_ttl_seconds: float = 20.0
    sweep_seconds: float = 10.0
    inspection_seconds: float = 30.0
    lease_seconds: float = 15.0
    workers: int = 16
    shutdown_patience_seconds: float = 60.0


class NodeAgent:
    """One host's agent. `await run()` inside the service's TaskGroup."""

    def __init__(
        self,
        host: str,
        store: Store,
        bus: Bus,
        hypervisor: Hypervisor,
        parts: GuestParts,
        memory: HostMemory,
        options: AgentOptions,
    ) -> None:
        self.host = host
        self._store = store
        self._bus = bus
        self._hypervisor = hypervisor
        self._parts = parts
        self._memory = memory
        self._options = options
        self._instance = str(uuid4())
        self._lease: leases.HeldLease | None = None
        self._fence = 0
        self._observing_only = True
        self._freed = asyncio.Event()
        self._machines = Reconciler(
            f"machines@{host}",
            workers=options.workers,
            on_failure=lambda error: AGENT_FAILURES.labels(type(error).__name__).inc(),
        )
        self.ready = asyncio.Event()
        """Set once the host's document is written and hints are heard."""

    async def run(self) -> None:
        """Works until cancelled. Raises Fenced when a newer agent takes over."""
        facts = await self._patiently(self._hypervisor.facts)
        await self._patiently(self._take_over)
        identity = await self._patiently(self._store.identity)
        await self._patiently(lambda: self._report(facts))
        controller = MachineController(
            store=self._store,
            hypervisor=self._hypervisor,
            parts=self._parts,
            identity=HostIdentity(identity.cloud_id, self.host, facts.boot_id),
            may_act=self._may_act,
            on_departed=self._freed.set,
            shutdown_patience_seconds=self._options.shutdown_patience_seconds,
        )
        unsettled = Sweep(
            f"agent/{self.host}",
            self._store,
            Query(MACHINE, {"host": self.host, "unsettled": 1}),
            self._machines.wake,
            every_seconds=self._options.sweep_seconds,
        )
        async with (
            self._bus.answers(MACHINE_CONSOLE, self._console, host=self.host),
            self._bus.hints(MACHINE_CHANGED, host=self.host) as hints,
            asyncio.TaskGroup() as group,
        ):

            async def listen() -> None:
                async for hint in hints:
                    self._machines.wake(hint.tokens[-1])

            group.create_task(listen(), name="agent-hints")
            group.create_task(self._watch_hypervisor(), name="agent-events")
            group.create_task(self._machines.run(controller.reconcile), name="agent-machines")
            group.create_task(unsettled.run(), name="agent-sweep")
            group.create_task(
                self._inspect_for_ever(identity.cloud_id, facts.boot_id), name="agent-inspection"
            )
            group.create_task(self._beat_for_ever(facts), name="agent-heartbeat")
            group.create_task(self._announce_freed(), name="agent-freed")
            self.ready.set()
            log.info("agent.ready", host=self.host, fence=self._fence, type=facts.domain_type)

    def _may_act(self) -> bool:
        """Whether anything may be changed on the host right now."""
        if self._observing_only or self._lease is None or not self._lease.valid:
            return False
        self._memory.check_fence(self._fence)
        return True

    async def _patiently(self, step: Callable[[], Awaitable[R]]) -> R:
        """Repeats a first step until store and hypervisor answer."""
        delay = 0.1
        while True:
            try:
                return await step()
            except (TransientError, Conflict) as error:
                log.warning("agent.waiting", host=self.host, error=str(error))
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)

    async def _take_over(self) -> None:
        """Takes the host's lease with a fence above every earlier one."""
        lease = await leases.acquire(
            self._store, f"agent/{self.host}", self.host, ttl_seconds=self._options.lease_seconds
        )
        if lease is None:
            raise Unavailable("The lease of this host could not be taken.")
        self._lease = lease
        self._fence = self._memory.raise_fence(lease.fence)

    async def _report(self, facts: HostFacts) -> None:
        """Writes what this host is into its document; a new host gets one."""
        await self._check_store()
        status = HostStatus(
            hypervisor=facts.hypervisor,
            domain_type=facts.domain_type,
            cpu_arch=facts.cpu_arch,
            cpu_count=facts.cpu_count,
            cpu_speed_mhz=facts.cpu_speed_mhz,
            memory_kib=facts.memory_kib,
            boot_id=facts.boot_id,
            observing_only=self._observing_only,
        )

        def change(host: Host) -> None:
            status.quarantined = host.status.quarantined
            status.conditions = self._conditions(host)
            host.status = status

        try:
            await self._store.update(HOST, self.host, change)
        except NotFound:
            fresh = Host(id=self.host, name=self.host, created=now(), updated=now(), status=status)
            status.conditions = self._conditions(fresh)
            await self._store.insert(fresh)
            log.info("host.registered", host=self.host)

    def _conditions(self, host: Host) -> list[Condition]:
        kept = [each for each in host.status.conditions if each.type != "ObservingOnly"]
        if self._observing_only:
            kept.append(
                Condition(
                    type="ObservingOnly",
                    reason="StaleStore",
                    message="The store is not as new as this host has seen; nothing is changed "
                    f"until `stratuslab host confirm {self.host}`.",
                    since=now(),
                )
            )
        return kept

    async def _check_store(self) -> None:
        """Compares the store with what this host has seen, and obeys a new confirmation."""
        identity = await self._store.identity()
        host = await self._store.find(HOST, self.host)
        confirmation = host.document.spec.confirmation if host is not None else ""
        if confirmation and confirmation != self._memory.seen.confirmation:
            self._memory.trust(identity, confirmation)
            log.warning("store.confirmed", host=self.host, epoch=identity.epoch)
        older = self._memory.is_older(identity)
        if older and not self._observing_only:
            log.error(
                "store.older", host=self.host, epoch=identity.epoch, sequence=identity.sequence
            )
        self._observing_only = older
        if not older:
            self._memory.remember(identity)

    async def _beat_for_ever(self, facts: HostFacts) -> None:
        """Heartbeat, lease and store check; a lost lease ends the agent."""
        while True:
            pause = self._options.heartbeat_seconds * random.uniform(0.8, 1.0)  # noqa: S311
            try:
                beat = Heartbeat(id=self.host, agent=self._instance, at=now())
                await self._store.put(beat, ttl_seconds=self._options.heartbeat_ttl_seconds)
                await self._keep_lease()
                before = self._observing_only
                await self._check_store()
                if before != self._observing_only:
                    await self._report(facts)
                    await self._wake_all()
            except Fenced:
                raise
            except StratusLabError as error:
                log.warning("agent.heartbeat-failed", host=self.host, error=str(error))
                pause = min(pause, 1.0)
            await asyncio.sleep(pause)

    async def _keep_lease(self) -> None:
        self._memory.check_fence(self._fence)
        assert self._lease is not None
        if not await leases.renew(self._store, self._lease):
            await self._take_over_again()

    async def _take_over_again(self) -> None:
        """The lease changed under us: another agent, or a store that was replaced."""
        self._memory.check_fence(self._fence)
        await self._take_over()
        log.warning("agent.lease-retaken", host=self.host, fence=self._fence)

    async def _watch_hypervisor(self) -> None:
        async for happening in self._hypervisor.events():
            if happening.id is None:
                await self._wake_all()
            else:
                self._machines.wake(happening.id)

    async def _wake_all(self) -> None:
        """Looks at every machine of this host: after a reconnect, and now and then."""
        after: str | None = None
        while True:
            query = Query(MACHINE, {"host": self.host}, after=after, limit=MAX_PAGE)
            page = await self._store.list_revisions(query)
            for revision in page.items:
                self._machines.wake(revision.id)
            after = page.next
            if after is None:
                return

    async def _inspect_for_ever(self, cloud_id: str, boot_id: str) -> None:
        """Compares the host's domains with the documents, both ways."""
        while True:
            try:
                await self._inspect(cloud_id, boot_id)
            except StratusLabError as error:
                log.warning("agent.inspection-failed", host=self.host, error=str(error))
            await asyncio.sleep(
                self._options.inspection_seconds * random.uniform(0.8, 1.2)  # noqa: S311
            )

    async def _inspect(self, cloud_id: str, boot_id: str) -> None:
        domains = {domain.id: domain for domain in await self._hypervisor.list_domains()}
        known: set[str] = set()
        after: str | None = None
        while True:
            query = Query(MACHINE, {"host": self.host}, after=after, limit=MAX_PAGE)
            page = await self._store.list(query)
            for stored in page.items:
                machine = stored.document
                known.add(machine.id)
                if differs(machine, domains.get(machine.id), cloud_id=cloud_id, boot_id=boot_id):
                    self._machines.wake(machine.id)
            after = page.next
            if after is None:
                break
            await asyncio.sleep(0)
        quarantined = [
            QuarantinedDomain(
                id=domain.id,
                name=domain.name,
                state=domain.state.value,
                reason="no document of this host names it",
            )
            for domain in domains.values()
            if domain.id not in known
            and domain.mark is not None
            and domain.mark.cloud_id == cloud_id
            # It may have been deleted, domain and document, while we were looking.
            and await self._hypervisor.find(domain.id) is not None
        ]
        QUARANTINED_DOMAINS.labels(self.host).set(len(quarantined))

        def change(host: Host) -> None:
            host.status.quarantined = quarantined

        await self._store.update(HOST, self.host, change)

    async def _announce_freed(self) -> None:
        """Tells schedulers about freed room, at most twice a second."""
        while True:
            await self._freed.wait()
            self._freed.clear()
            self._bus.hint(HOST_FREED, host=self.host)
            await asyncio.sleep(0.5)

    async def _console(self, query: ConsoleQuery) -> ConsoleReply:
        limit = max(0, min(query.max_bytes, MAX_CONSOLE_BYTES))
        return ConsoleReply(data=await self._hypervisor.console(query.id, limit))
