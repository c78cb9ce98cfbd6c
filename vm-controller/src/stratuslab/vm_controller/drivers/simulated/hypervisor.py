"""The driver of a simulated host: the port of `drivers/base.py` on top of a journal.

Owns the connection of one process to one simulated host. It must not hold any truth: what runs
is in the journal, and any number of drivers in any number of processes may be at the same host.
"""

from __future__ import annotations

import asyncio
import platform
import random
import time
import uuid
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from stratuslab.vm_controller.drivers.base import (
    Domain,
    DomainEvent,
    DomainMark,
    DomainSpec,
    HostFacts,
    HypervisorUnavailable,
)
from stratuslab.vm_controller.drivers.simulated import decisions, guest
from stratuslab.vm_controller.drivers.simulated.behaviour import (
    NORMAL,
    Behaviour,
    BehaviourSource,
    Fate,
    failure_of,
    fate_of,
    latency_seconds,
)
from stratuslab.vm_controller.drivers.simulated.event_stream import EventStream
from stratuslab.vm_controller.drivers.simulated.journal import Event, Happening, HostState
from stratuslab.vm_controller.drivers.simulated.journal_file import (
    DEFAULT_LIMIT_BYTES,
    Decision,
    JournalFile,
    host_folder,
)

_QUIET: Final = frozenset({Event.MARKED, Event.CLOSED})

Answer = TypeVar("Answer")


class SimulatedHypervisor:
    """One simulated host, kept in `folder/host`; see the package for what is special about it.

    `boot_id`, when given, is the boot of the machine underneath: if it is another one than when
    the host was last used, the simulated host has rebooted too. Without it the host reboots only
    when it is told to. An operation ends within `timeout_seconds`. The journal is rotated beyond
    `journal_limit_bytes`. `seed` makes latencies and failures repeatable.
    """

    def __init__(
        self,
        folder: Path,
        host: str,
        *,
        cpu_count: int,
        memory_kib: int,
        cpu_speed_mhz: int = 2000,
        boot_id: str = "",
        behaviour: Behaviour = NORMAL,
        seed: int = 0,
        timeout_seconds: float = 30.0,
        journal_limit_bytes: int = DEFAULT_LIMIT_BYTES,
    ) -> None:
        self._folder = host_folder(folder, host)
        self._host = host
        self._cpu_count = cpu_count
        self._memory_kib = memory_kib
        self._cpu_speed_mhz = cpu_speed_mhz
        self._machine_boot_id = boot_id
        self._behaviour = BehaviourSource(behaviour, self._folder / "behaviour.json")
        self._chance = random.Random(f"{seed}:{host}")  # noqa: S311 - chance, not secrets
        self._timeout_seconds = timeout_seconds
        self._journal_limit_bytes = journal_limit_bytes
        self._journal: JournalFile | None = None
        self._streams: weakref.WeakSet[EventStream] = weakref.WeakSet()

    async def __aenter__(self) -> Self:
        self._journal = JournalFile(
            self._folder,
            create=True,
            limit_bytes=self._journal_limit_bytes,
            on_happening=self._publish,
        )
        try:
            self._journal.record(self._boot_if_needed)
        except BaseException:
            self._disconnect()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._disconnect()

    async def facts(self) -> HostFacts:
        """What this host offers."""
        return await self._answer("facts", lambda: self._facts(self._connected().look()))

    async def list_domains(self) -> list[Domain]:
        """All domains on the host."""
        return await self._answer("list", lambda: _list(self._connected().look()))

    async def find(self, id: str) -> Domain | None:
        """The domain with this UUID."""
        return await self._answer("find", lambda: _find(self._connected().look(), id))

    async def start(self, spec: DomainSpec) -> Domain:
        """Boot it, let it go on, or only mark it. Instant, but for the boot of the guest."""
        behaviour = self._behaviour.current()

        def decide(state: HostState) -> Happening | None:
            return decisions.start(
                state,
                spec,
                memory_kib=self._memory_kib,
                memory_full=behaviour.memory_full,
                boot_seconds=behaviour.boot_seconds,
            )

        return await self._change("start", spec.id, decide)

    async def pause(self, id: str, mark: DomainMark) -> Domain:
        """Freeze a running domain; a stopped or suspended one stays as it is."""
        return await self._change("pause", id, lambda state: decisions.pause(state, id, mark))

    async def suspend(self, id: str, mark: DomainMark) -> Domain:
        """Save its memory and stop; a stopped domain stays stopped."""
        return await self._change("suspend", id, lambda state: decisions.suspend(state, id, mark))

    async def shutdown(self, id: str, mark: DomainMark) -> Domain:
        """Press the power button; a stopped or suspended domain stays as it is."""
        behaviour = self._behaviour.current()
        ignored = self._chance.random() < behaviour.ignored_power_button_rate
        seconds = None if ignored else behaviour.shutdown_seconds

        def decide(state: HostState) -> Happening | None:
            return decisions.shutdown(state, id, mark, shutdown_seconds=seconds)

        return await self._change("shutdown", id, decide)

    async def stop(self, id: str, mark: DomainMark) -> Domain:
        """Cut the power."""
        return await self._change("stop", id, lambda state: decisions.stop(state, id, mark))

    async def mark(self, id: str, mark: DomainMark) -> None:
        """Only write the mark."""
        await self._change("mark", id, lambda state: decisions.mark(state, id, mark))

    async def remove(self, id: str) -> None:
        """Cut the power and forget the domain; absent is success."""
        await self._answer(
            "remove", lambda: self._connected().record(lambda state: decisions.remove(state, id))
        )

    async def console(self, id: str, max_bytes: int) -> bytes:
        """The end of the console since the last boot; empty where there is no such domain."""
        return await self._answer(
            "console", lambda: _console(self._connected().look(), id, max_bytes)
        )

    async def address(self, id: str) -> str | None:
        """The guest's address once it has booted."""
        return await self._answer("address", lambda: _address(self._connected().look(), id))

    def events(self) -> AsyncIterator[DomainEvent]:
        """Life-cycle events from now on; the domain's end and what others did within 50 ms."""
        self._connected()
        stream = EventStream(self._look_for_events)
        self._streams.add(stream)
        return stream

    async def _change(self, operation: str, id: str, decide: Decision) -> Domain:
        def change() -> Domain:
            return decisions.find(self._connected().record(decide), id).seen(time.time())

        return await self._answer(operation, change)

    async def _answer(self, operation: str, act: Callable[[], Answer]) -> Answer:
        """Act, in the manner that the behaviour in force asks for."""
        behaviour = self._behaviour.current()
        delay_seconds = latency_seconds(behaviour, operation, self._chance)
        if delay_seconds >= self._timeout_seconds:
            await self._never_answer(operation, self._timeout_seconds)
        if delay_seconds > 0:
            await asyncio.sleep(delay_seconds)
        fate = fate_of(behaviour, operation, self._chance)
        if fate is Fate.UNAVAILABLE or fate is Fate.REJECTED:
            raise failure_of(fate, operation, self._host)
        if fate is Fate.LOST_QUESTION:
            await self._never_answer(operation, self._timeout_seconds - delay_seconds)
        answer = act()
        if fate is Fate.LOST_ANSWER:
            await self._never_answer(operation, self._timeout_seconds - delay_seconds)
        return answer

    async def _never_answer(self, operation: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        raise HypervisorUnavailable(
            f"The simulated host {self._host} did not answer {operation} within "
            f"{self._timeout_seconds:g} s; it may or may not have happened.",
            hint="Look at the domain, and try again.",
        )

    def _boot_if_needed(self, state: HostState) -> Happening | None:
        given = self._machine_boot_id
        if state.boot_id and given in ("", state.machine_boot_id):
            return None
        return Happening(
            event=Event.BOOTED, boot_id=given or str(uuid.uuid4()), machine_boot_id=given
        )

    def _facts(self, state: HostState) -> HostFacts:
        return HostFacts(
            hypervisor="simulated",
            domain_type="simulated",
            cpu_arch=platform.machine(),
            cpu_count=self._cpu_count,
            cpu_speed_mhz=self._cpu_speed_mhz,
            memory_kib=self._memory_kib,
            boot_id=state.boot_id,
        )

    def _publish(self, happening: Happening) -> None:
        if happening.event in _QUIET or not self._streams:
            return
        what = "resynchronised" if happening.event is Event.COMPACTED else str(happening.event)
        event = DomainEvent(id=happening.id or None, what=what)
        for stream in self._streams:
            stream.feed(event)

    def _look_for_events(self) -> float | None:
        try:
            end = self._connected().look().next_end()
        except HypervisorUnavailable:
            return None
        return None if end is None else end[0]

    def _connected(self) -> JournalFile:
        if self._journal is None:
            raise HypervisorUnavailable(
                f"The driver of the simulated host {self._host} is not connected.",
                hint="Use it inside 'async with'.",
            )
        return self._journal

    def _disconnect(self) -> None:
        for stream in self._streams:
            stream.close()
        if self._journal is not None:
            self._journal.close()
            self._journal = None


def _list(state: HostState) -> list[Domain]:
    now = time.time()
    return [domain.seen(now) for domain in state.domains.values()]


def _find(state: HostState, id: str) -> Domain | None:
    domain = state.domains.get(id)
    return None if domain is None else domain.seen(time.time())


def _console(state: HostState, id: str, max_bytes: int) -> bytes:
    domain = state.domains.get(id)
    if domain is None or max_bytes <= 0:
        return b""
    return guest.console_of(domain, time.time())[-max_bytes:]


def _address(state: HostState, id: str) -> str | None:
    domain, now = state.domains.get(id), time.time()
    return guest.address_of(id) if domain is not None and guest.is_ready(domain, now) else None
