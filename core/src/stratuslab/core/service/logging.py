"""Logs: one line an event, JSON for machines, colours on a terminal, secrets masked.

Events are short constant names (`machine.started`) with key=value. Foreign libraries' logging
is routed into the same stream.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import msgspec
import structlog

MASKED = frozenset(
    {"password", "token", "secret", "authorization", "key", "private_key", "credentials"}
)
_encoder = msgspec.json.Encoder(enc_hook=str)


def mask(_logger: object, _name: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hides the values of keys that sound secret."""
    for key in MASKED.intersection(line):
        line[key] = "********"
    return line


def configure(level: str, format: str, service: str) -> None:
    """Sets up structlog and the standard library's logging for this process."""
    pretty = format == "console" or (format == "auto" and sys.stderr.isatty())
    least = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask,
    ]
    if pretty:
        ends: list[structlog.typing.Processor] = [structlog.dev.ConsoleRenderer()]
    else:
        ends = [structlog.processors.format_exc_info, _render]
    structlog.configure(
        processors=[*shared, *ends],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=(
            structlog.PrintLoggerFactory(sys.stderr)
            if pretty
            else structlog.BytesLoggerFactory(sys.stderr.buffer)
        ),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = _Forward()
    logging.basicConfig(level=max(least, logging.WARNING), handlers=[handler], force=True)


def _render(_logger: object, _name: str, line: MutableMapping[str, Any]) -> bytes:
    return _encoder.encode(line)


class _Forward(logging.Handler):
    """Turns records of the standard library into our lines."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno,
            "library.message",
            library=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info or None,
        )
