"""Logs: one line an event on stderr, JSON for machines, readable on a terminal, secrets masked.

Events are short constant names (`machine.started`) with key=value. What belongs to a whole piece
of work is bound once: `with structlog.contextvars.bound_contextvars(machine=id): …`. Foreign
libraries' logging is routed into the same stream. Logging never raises, also when nobody reads
stderr any more.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
import structlog

MASK = "********"
LONGEST_TEXT = 16_384
"""Characters of a value; the rest is cut off."""
DEEPEST = 5

_SECRET = re.compile(
    r"password|passwd|passphrase|secret|token|authorization|credential|cookie|"
    r"(private|vault|api|session)_?key",
    re.IGNORECASE,
)
_HARMLESS = ("_file", "_folder", "_version", "_seconds", "_count", "_id")
_SECRET_TEXT = re.compile(
    r"(?P<scheme>\b(?:Basic|Bearer)\s+)[A-Za-z0-9+/=._~-]{6,}"
    r"|(?P<user>://[^\s/:@]*:)[^\s/@]+(?=@)",
    re.IGNORECASE,
)

Line = MutableMapping[str, Any]


def configure(level: str, format: str, service: str) -> None:
    """Sets up structlog and the standard library's logging for this process.

    `format`: `json`, `console`, or `auto` for console on a terminal and JSON elsewhere.
    """
    global _lines_of  # noqa: PLW0603 - like structlog's own configuration, one for the process
    terminal = sys.stderr is not None and sys.stderr.isatty()
    least = logging.getLevelNamesMapping()[level.upper()]
    people = format == "console" or (format == "auto" and terminal)
    _lines_of = service if not people and least <= logging.INFO else None
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _ordered(service),
            mask,
            _for_people(terminal) if people else _json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=StderrLines,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(least, logging.WARNING), handlers=[_Forward()], force=True)
    logging.captureWarnings(True)


_lines_of: str | None = None
"""The service whose lines are written as JSON, once `configure` has said so."""


def info_many(event: str, lines: Sequence[Mapping[str, str | int | float | None]]) -> None:
    """Writes many lines of one event: as `log.info` would, at a fraction of the cost.

    They share one time stamp and one write, and their values must be plain. For people, and
    before `configure`, each goes the ordinary way.
    """
    if _lines_of is None:
        write = structlog.get_logger().info
        for line in lines:
            write(event, **line)
        return
    head = _head(_lines_of, "info", event)
    encode = msgspec.json.encode
    encoded = [
        encode(
            {
                **head,
                **{
                    key: _text(value) if isinstance(value, str) else value
                    for key, value in line.items()
                },
            }
        )
        for line in lines
    ]
    StderrLines().msg(b"\n".join(encoded))


def _ordered(service: str) -> structlog.typing.Processor:
    """Time, level, service and event first: what people read."""

    def order(_logger: object, _name: str, line: Line) -> Line:
        return {**_head(service, line.pop("level", ""), line.pop("event", "")), **line}

    return order


def _head(service: str, level: str, event: str) -> dict[str, str]:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"timestamp": moment, "level": level, "service": service, "event": event}


def mask(_logger: object, _name: str, line: Line) -> Line:
    """Hides what sounds secret, by its key at any depth, or inside a text; cuts long texts."""
    for key, value in line.items():
        line[key] = MASK if value and sounds_secret(key) else _plain(value, DEEPEST)
    return line


@lru_cache(maxsize=1024)
def sounds_secret(key: str) -> bool:
    """Whether a value under this key must not be shown."""
    return bool(_SECRET.search(key)) and not key.endswith(_HARMLESS)


def _plain(value: Any, depth: int) -> Any:
    """The value as JSON knows it, without secrets."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if depth == 0:
        return "..."
    if isinstance(value, Mapping):
        return {
            str(key): MASK if each and sounds_secret(str(key)) else _plain(each, depth - 1)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each, depth - 1) for each in value]
    if isinstance(value, msgspec.Struct):
        fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return _plain(dict(fields), depth)
    return _text(str(value))


def _text(value: str) -> str:
    if len(value) > LONGEST_TEXT:
        value = value[:LONGEST_TEXT] + f"... {len(value) - LONGEST_TEXT} more"
    if "://" in value or "asic" in value or "earer" in value or "BASIC" in value:
        return _SECRET_TEXT.sub(lambda found: (found["scheme"] or found["user"]) + MASK, value)
    return value


def _json(_logger: object, _name: str, line: Line) -> bytes:
    try:
        return msgspec.json.encode(line)
    except (TypeError, ValueError, OverflowError):  # numbers over 64 bits, half characters
        return msgspec.json.encode({key: ascii(value) for key, value in line.items()})


def _for_people(colours: bool) -> structlog.typing.Processor:
    # Tracebacks are texts by now: a pretty one would show the values of local variables.
    render = structlog.dev.ConsoleRenderer(colors=colours)

    def encode(logger: Any, name: str, line: Line) -> bytes:
        return str(render(logger, name, line)).encode(errors="backslashreplace")

    return encode


class StderrLines:
    """Writes each line at once and whole. A line that cannot be written is lost."""

    _turn = threading.Lock()

    def __init__(self, *_arguments: object) -> None:
        try:
            self._handle = sys.stderr.fileno()
        except (AttributeError, OSError, ValueError):
            self._handle = 2

    def msg(self, line: bytes) -> None:
        """Writes the line."""
        rest = line + b"\n"
        with self._turn:
            try:
                while rest:
                    rest = rest[os.write(self._handle, rest) :]
            except OSError:
                return

    log = debug = info = warning = error = critical = exception = msg


class _Forward(logging.Handler):
    """Turns records of the standard library into our lines."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a wrong format string in a library
            message = str(record.msg)
        write: Callable[..., Any] = structlog.get_logger().log
        write(
            record.levelno,
            "library.message",
            library=record.name,
            message=message,
            exc_info=record.exc_info or None,
        )
