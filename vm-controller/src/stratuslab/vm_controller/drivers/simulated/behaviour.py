"""How a simulated host behaves: fast, slow, failing, mute; fixed at the start or changed live.

Owns the `Behaviour` settings, the presets and the reading of `<folder>/<host>/behaviour.json`.
It must not know what the operations do.
"""

from __future__ import annotations

import random
import time
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from stratuslab.vm_controller.drivers.base import DomainRejected, HypervisorUnavailable

log = structlog.get_logger()

OPERATIONS: Final = frozenset(
    {
        *("facts", "list", "find", "start", "pause", "suspend", "shutdown", "stop", "mark"),
        *("remove", "console", "address"),
    }
)
ANY_OPERATION: Final = "any"
_CHECK_INTERVAL_SECONDS: Final = 0.1
_MAX_FILE_BYTES: Final = 64 * 1024


def _require_within(name: str, value: float, limit: float | None = None) -> None:
    if not value >= 0 or (limit is not None and value > limit):
        most = "" if limit is None else f" and at most {limit:g}"
        raise ValueError(f"{name} is {value}; it must be at least 0{most}")


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A simulated host's manners. The dictionaries have a value for each operation (`start`,
    `stop`, `find`, ...) and one, `any`, for those not named. Rates are from 0 to 1.

    `behaviour.json` has the same names; what it leaves out stays as the agent was started with.
    """

    latency_ms: dict[str, float] = {}
    """How long an operation takes before it happens."""
    latency_jitter: float = 0.0
    """0.5 lets each latency vary by half, up and down."""
    boot_seconds: float = 0.2
    """From the start of a domain to the banner on its console."""
    shutdown_seconds: float = 0.2
    """From the power button to the end of the guest."""
    ignored_power_button_rate: float = 0.0
    """How often a guest does not care about its power button."""
    unavailable_rate: dict[str, float] = {}
    """How often an operation fails with HypervisorUnavailable, and nothing happens."""
    rejected_rate: dict[str, float] = {}
    """How often an operation fails with DomainRejected, and nothing happens."""
    hang_rate: dict[str, float] = {}
    """How often an operation is not answered; every second time it happens nevertheless."""
    memory_full: bool = False
    """Every start that needs memory is rejected."""

    def __post_init__(self) -> None:
        for name in ("unavailable_rate", "rejected_rate", "hang_rate", "latency_ms"):
            limit = None if name == "latency_ms" else 1.0
            for operation, value in getattr(self, name).items():
                if operation not in OPERATIONS and operation != ANY_OPERATION:
                    known = ", ".join(sorted(OPERATIONS))
                    raise ValueError(f"{name}: no operation {operation!r}; there are {known}, any")
                _require_within(f"{name}.{operation}", value, limit)
        _require_within("latency_jitter", self.latency_jitter, 1.0)
        _require_within("ignored_power_button_rate", self.ignored_power_button_rate, 1.0)
        _require_within("boot_seconds", self.boot_seconds)
        _require_within("shutdown_seconds", self.shutdown_seconds)


NORMAL: Final = Behaviour()
SLOW: Final = Behaviour(
    latency_ms={"any": 300.0, "start": 1500.0},
    latency_jitter=0.5,
    boot_seconds=8.0,
    shutdown_seconds=5.0,
)
FAILING: Final = Behaviour(
    unavailable_rate={"any": 0.2}, rejected_rate={"start": 0.05}, ignored_power_button_rate=0.3
)
NEVER_ANSWERS: Final = Behaviour(hang_rate={"any": 1.0})
FULL: Final = Behaviour(memory_full=True)

PRESETS: Final[dict[str, Behaviour]] = {
    "normal": NORMAL,
    "slow": SLOW,
    "failing": FAILING,
    "never-answers": NEVER_ANSWERS,
    "full": FULL,
}


class Fate(StrEnum):
    """What becomes of one call."""

    ANSWERED = "answered"
    UNAVAILABLE = "unavailable"
    REJECTED = "rejected"
    LOST_QUESTION = "lost-question"
    LOST_ANSWER = "lost-answer"


def latency_seconds(behaviour: Behaviour, operation: str, chance: random.Random) -> float:
    """How long this call takes before anything happens."""
    if not behaviour.latency_ms:
        return 0.0
    latency_ms = _of(behaviour.latency_ms, operation)
    jitter = behaviour.latency_jitter
    return latency_ms / 1000 * chance.uniform(1 - jitter, 1 + jitter)


def fate_of(behaviour: Behaviour, operation: str, chance: random.Random) -> Fate:
    """Draw what becomes of this call."""
    if _happens(behaviour.hang_rate, operation, chance):
        return Fate.LOST_ANSWER if chance.random() < 0.5 else Fate.LOST_QUESTION
    if _happens(behaviour.unavailable_rate, operation, chance):
        return Fate.UNAVAILABLE
    if _happens(behaviour.rejected_rate, operation, chance):
        return Fate.REJECTED
    return Fate.ANSWERED


def failure_of(fate: Fate, operation: str, host: str) -> HypervisorUnavailable | DomainRejected:
    """The error that such a call ends with."""
    if fate is Fate.REJECTED:
        return DomainRejected(f"The simulated host {host} rejects {operation}, as it was told to.")
    return HypervisorUnavailable(f"The simulated host {host} fails {operation}, as it was told to.")


class BehaviourSource:
    """The behaviour in force: `base`, changed by a file that may come, change and go."""

    def __init__(self, base: Behaviour, path: Path) -> None:
        self._base = base
        self._path = path
        self._current = base
        self._version: tuple[int, int] | None = None
        self._next_check = 0.0

    def current(self) -> Behaviour:
        """The behaviour now; the file is looked at every 100 ms at most."""
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + _CHECK_INTERVAL_SECONDS
            self._look()
        return self._current

    def _look(self) -> None:
        try:
            status = self._path.stat()
        except OSError:
            self._version, self._current = None, self._base
            return
        version = (status.st_mtime_ns, status.st_ino)
        if version != self._version:
            self._version = version
            self._read()

    def _read(self) -> None:
        try:
            with self._path.open("rb") as file:
                changes = msgspec.json.decode(file.read(_MAX_FILE_BYTES), type=dict[str, Any])
            self._current = msgspec.convert(msgspec.structs.asdict(self._base) | changes, Behaviour)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("simulated.behaviour_unreadable", path=str(self._path), why=str(error))
        else:
            log.info("simulated.behaviour_changed", path=str(self._path), behaviour=changes)


def _of(values: dict[str, float], operation: str) -> float:
    value = values.get(operation)
    return values.get(ANY_OPERATION, 0.0) if value is None else value


def _happens(rates: dict[str, float], operation: str, chance: random.Random) -> bool:
    if not rates:
        return False
    rate = _of(rates, operation)
    return rate > 0 and chance.random() < rate
