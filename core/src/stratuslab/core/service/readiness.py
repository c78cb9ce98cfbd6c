"""Whether a service can do its work: one check for each thing it needs.

An outage is logged once, and so is its end. Not being ready never stops a service.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import msgspec

from stratuslab.core.documents.frame import now
from stratuslab.core.service.metrics import READY
from stratuslab.core.service.outage import Outage
from stratuslab.core.service.systemd import notify

CHECK_TIMEOUT_SECONDS = 2.0
WATCH_SECONDS = 5.0
"""Time between checks that nobody asked for."""
FRESH_SECONDS = 0.2
"""Results younger than this are given again: asking often costs the store nothing."""

Check = Callable[[], Awaitable[object]]
Phase = Literal["starting", "running", "stopping"]


class Checked(msgspec.Struct, frozen=True, rename="camel"):
    """The last result of one check. `since`: how long it has been so."""

    ok: bool
    since: datetime
    latency_ms: float = 0.0
    error: str = ""


class Report(msgspec.Struct, frozen=True, rename="camel"):
    """What `/readyz` answers. Ready is a service that runs and whose checks all hold."""

    service: str
    ready: bool
    phase: Phase
    checks: dict[str, Checked]


@dataclass
class _Watched:
    """A check with its history."""

    check: Check
    outage: Outage
    last: Checked | None = field(default=None)


class Readiness:
    """The checks of one service."""

    def __init__(self, service: str) -> None:
        self.phase: Phase = "starting"
        self._service = service
        self._checks: dict[str, _Watched] = {}
        self._turn = asyncio.Lock()
        self._checked_at = float("-inf")

    def add(self, name: str, check: Check) -> None:
        """`check` raises while the thing is not usable; after two seconds it counts as so."""
        self._checks[name] = _Watched(check, Outage("readiness", service=self._service, check=name))
        self._checked_at = float("-inf")

    @contextmanager
    def checking(self, name: str, check: Check) -> Iterator[None]:
        """The check counts while the context is open."""
        self.add(name, check)
        try:
            yield
        finally:
            self._checks.pop(name, None)

    def started(self) -> None:
        """The service does its work from now on."""
        if self.phase == "starting":
            self.phase = "running"
            notify("READY=1")

    def stopping(self) -> None:
        """The service finishes: it takes no new work, so it is not ready any more."""
        if self.phase != "stopping":
            self.phase = "stopping"
            notify("STOPPING=1")

    async def watch(self) -> None:
        """Checks now and then until cancelled, so that outages are logged when they happen."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await self.report()

    async def report(self) -> Report:
        """The result of all checks, made now or a moment ago."""
        async with self._turn:
            if time.monotonic() - self._checked_at >= FRESH_SECONDS:
                await asyncio.gather(*(_run(*each) for each in list(self._checks.items())))
                self._checked_at = time.monotonic()
        checks = {name: each.last for name, each in self._checks.items() if each.last is not None}
        usable = len(checks) == len(self._checks) and all(each.ok for each in checks.values())
        return Report(self._service, usable and self.phase == "running", self.phase, checks)


async def _run(name: str, watched: _Watched) -> None:
    """Checks once and takes down the result."""
    begin = time.perf_counter()
    error = ""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await watched.check()
    except TimeoutError:
        error = f"No answer within {CHECK_TIMEOUT_SECONDS:g} seconds."
    except Exception as failure:  # noqa: BLE001 - whatever a check raises means: not usable
        error = str(failure) or type(failure).__name__
    before, ok = watched.last, not error
    since = before.since if before is not None and before.ok == ok else now()
    latency_ms = round((time.perf_counter() - begin) * 1000, 3)
    watched.last = Checked(ok, since, latency_ms, error)
    READY.labels(name).set(ok)
    if ok:
        watched.outage.over()
    else:
        watched.outage.lasts(error)
