"""The JetStream streams of a cloud and how they come to be.

One stream per kind of stored message, none overlapping, every one bounded in age and size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import nats.js.errors
import structlog
from nats.js import JetStreamManager, api

log = structlog.get_logger(__name__)

EVENTS = "EVT"
DEAD_LETTERS = "DLQ"
_DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class StreamLimits:
    """How much is kept. Ages in seconds, sizes in bytes."""

    events_age_seconds: float = 7 * _DAY_SECONDS
    events_bytes: int = 512 * 1024**2
    dead_letters_age_seconds: float = 30 * _DAY_SECONDS
    dead_letters_bytes: int = 128 * 1024**2
    duplicate_window_seconds: float = 300.0
    """For how long a repeated message id is recognised."""
    replicas: int = 1
    """3 on a cluster of servers."""


def stream_configs(limits: StreamLimits) -> list[api.StreamConfig]:
    """What the streams should look like."""

    def stream(name: str, subject: str, age: float, size: int, about: str) -> api.StreamConfig:
        return api.StreamConfig(
            name=name,
            subjects=[subject],
            description=about,
            retention=api.RetentionPolicy.LIMITS,
            storage=api.StorageType.FILE,
            discard=api.DiscardPolicy.OLD,
            max_age=age,
            max_bytes=size,
            duplicate_window=limits.duplicate_window_seconds,
            num_replicas=limits.replicas,
        )

    return [
        stream(
            EVENTS,
            "sl.*.v1.evt.>",
            limits.events_age_seconds,
            limits.events_bytes,
            "What happened, for integrations",
        ),
        stream(
            DEAD_LETTERS,
            "sl.*.v1.dlq.>",
            limits.dead_letters_age_seconds,
            limits.dead_letters_bytes,
            "Messages that were given up",
        ),
    ]


async def ensure_streams(jetstream: JetStreamManager, limits: StreamLimits) -> None:
    """Creates what is missing and changes what differs; nothing is ever deleted."""
    for wanted in stream_configs(limits):
        assert wanted.name is not None
        try:
            present = (await jetstream.stream_info(wanted.name)).config
        except nats.js.errors.NotFoundError:
            await jetstream.add_stream(wanted)
            log.info("bus.stream_created", stream=wanted.name)
            continue
        changed = _differences(present, wanted)
        if changed:
            # add_stream is no upsert, and update_stream would reset what is not given.
            await jetstream.update_stream(present.evolve(**changed))
            log.info("bus.stream_changed", stream=wanted.name, fields=sorted(changed))


_COMPARED = (
    "subjects",
    "description",
    "discard",
    "max_age",
    "max_bytes",
    "duplicate_window",
    "num_replicas",
)


def _differences(present: api.StreamConfig, wanted: api.StreamConfig) -> dict[str, Any]:
    return {
        name: getattr(wanted, name)
        for name in _COMPARED
        if getattr(present, name) != getattr(wanted, name)
    }
