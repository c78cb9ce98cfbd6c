"""Whether a service can do its work: one check for each thing it needs.

An outage is logged once, and so is its end. Not being ready never stops a service.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec
import structlog

from stratuslab.core.documents.frame import now

log = structlog.get_logger()

CHECK_SECONDS = 2.0


class Checked(msgspec.Struct, rename="camel"):
    """The last result of one check. `since`: how long it has been so."""

    ok: bool
    since: datetime
    latency_ms: float = 0.0
    error: str = ""


class Report(msgspec.Struct, rename="camel"):
    """What `/readyz` answers."""

    service: str
    ready: bool
    checks: dict[str, Checked]


class Readiness:
    """The checks of one service."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._checks: dict[str, Callable[[], Awaitable[object]]] = {}
        self._last: dict[str, Checked] = {}

    def add(self, name: str, check: Callable[[], Awaitable[object]]) -> None:
        """`check` raises while the thing is not usable."""
        self._checks[name] = check

    async def report(self) -> Report:
        """Runs all checks now."""
        names = list(self._checks)
        await asyncio.gather(*(self._run(name) for name in names))
        checks = {name: self._last[name] for name in names}
        ready = all(checked.ok for checked in checks.values())
        return Report(self._service, ready, checks)

    async def _run(self, name: str) -> None:
        begin = time.perf_counter()
        error = ""
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await self._checks[name]()
        except Exception as failure:  # noqa: BLE001 - whatever a check raises means: not usable
            error = str(failure) or type(failure).__name__
        before = self._last.get(name)
        ok = not error
        if before is None or before.ok != ok:
            since = now()
            if before is not None or not ok:
                event = "readiness.regained" if ok else "readiness.lost"
                log.warning(event, check=name, error=error or None)
        else:
            since = before.since
        self._last[name] = Checked(ok, since, (time.perf_counter() - begin) * 1000, error)
