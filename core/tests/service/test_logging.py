"""Log lines: their form, what they never show, and that they never fail."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratuslab.core.service.logging import LONGEST_TEXT, MASK, mask, sounds_secret

HEAD = """
import asyncio, logging, warnings, structlog, pathlib, uuid, os
from stratuslab.core.service.logging import configure
configure("info", FORMAT, "lamp")
log = structlog.get_logger()
"""


def _written(program: str, format: str = "json") -> str:
    """What the program writes to stderr."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD.replace("FORMAT", repr(format)) + program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stderr


def _lines(program: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _written(program).splitlines()]


def test_a_line_is_json_with_time_level_service_and_event_first() -> None:
    (line,) = _lines("log.debug('x'); log.info('lamp.lit', bulbs=3, at=pathlib.Path('/x'))")
    assert list(line) == ["timestamp", "level", "service", "event", "bulbs", "at"]
    assert (line["level"], line["service"], line["event"]) == ("info", "lamp", "lamp.lit")
    assert (line["bulbs"], line["at"]) == (3, "/x")
    assert line["timestamp"].endswith("Z")


def test_what_is_bound_to_a_piece_of_work_is_on_all_its_lines() -> None:
    bound, free = _lines(
        "with structlog.contextvars.bound_contextvars(request='r1'):\n"
        "    log.info('a')\n"
        "log.info('b')"
    )
    assert bound["request"] == "r1"
    assert "request" not in free


def test_libraries_and_warnings_end_up_in_the_same_stream() -> None:
    first, second, third = _lines(
        "logging.getLogger('foreign').info('silent')\n"
        "logging.getLogger('foreign').error('it %s', 'broke')\n"
        "logging.getLogger('foreign').error('%d', 'wrong')\n"
        "warnings.warn('careful')\n"
    )
    assert (first["event"], first["library"]) == ("library.message", "foreign")
    assert (first["message"], first["level"]) == ("it broke", "error")
    assert second["message"] == "%d"
    assert "careful" in third["message"]


def test_tracebacks_are_texts_without_the_values_of_variables() -> None:
    program = (
        "def f(password):\n    1 / 0\n"
        "try:\n    f('hunter' + str(2))\nexcept ZeroDivisionError:\n    log.exception('lamp.broke')"
    )
    (line,) = _lines(program)
    assert line["level"] == "error"
    assert "ZeroDivisionError" in line["exception"]
    for text in (line["exception"], _written(program, "console")):
        assert "hunter2" not in text


def test_on_a_terminal_lines_are_for_people_and_masked_too() -> None:
    text = _written("log.info('lamp.lit', password='hunter2', bulbs=3)", "console")
    assert "lamp.lit" in text
    assert "hunter2" not in text
    assert "\x1b" not in text, "no colours in a file"


def test_a_line_costs_microseconds() -> None:
    program = "import time; b = time.perf_counter()\nfor n in range(2000): log.info('a.b', n=n)\n"
    lines = _lines(program + "log.info('done', us=(time.perf_counter() - b) / 2000 * 1e6)")
    assert lines[-1]["us"] < 1000


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "new_password",
        "passwordHash",
        "token",
        "access_token",
        "Authorization",
        "client_secret",
        "private_key",
        "vault_key",
        "set-cookie",
        "credentials",
    ],
)
def test_what_sounds_secret_is_masked_at_any_depth(key: str) -> None:
    line = {"event": "x", key: "hunter2", "nested": [{"deeper": ({key: "hunter2"},)}]}
    masked = mask(None, "", line)
    assert "hunter2" not in str(masked)
    assert masked[key] == MASK


@pytest.mark.parametrize(
    "key", ["key", "keys", "password_file", "password_version", "credential_id", "event", "monkey"]
)
def test_what_only_looks_so_is_shown(key: str) -> None:
    assert not sounds_secret(key)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nats://svc:hunter2@127.0.0.1:4222", f"nats://svc:{MASK}@127.0.0.1:4222"),
        ("GET /x Authorization: Basic aHVudGVyMg==", f"GET /x Authorization: Basic {MASK}"),
        ("bearer eyJhbGciOi.eyJz", f"bearer {MASK}"),
        ("http://host/path?a=b@c", "http://host/path?a=b@c"),
        ("basic needs", "basic needs"),
    ],
)
def test_secrets_inside_texts_are_masked(text: str, shown: str) -> None:
    assert mask(None, "", {"error": text})["error"] == shown


class Account(msgspec.Struct):
    name: str
    password_hash: str


def test_documents_bytes_and_long_texts_are_cut_to_size() -> None:
    line = mask(
        None,
        "",
        {
            "user": Account("alice", "hunter2"),
            "body": b"hunter2",
            "text": "x" * (LONGEST_TEXT + 5),
            "path": Path("/x"),
        },
    )
    assert line["user"] == {"name": "alice", "password_hash": MASK}
    assert line["body"] == "7 bytes"
    assert line["text"].endswith("... 5 more")
    assert line["path"] == "/x"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), _VALUES, max_size=5))
def test_any_line_becomes_json(line: dict[str, Any]) -> None:
    from stratuslab.core.service.logging import _json

    decoded = json.loads(_json(None, "", mask(None, "", {**line})))
    assert set(decoded) == set(line)


def test_a_slow_reader_gets_whole_lines() -> None:
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            HEAD.replace("FORMAT", "'json'")
            + "import threading\n"
            + "def many():\n    for n in range(200): log.info('a', text='x' * 9000)\n"
            + "threads = [threading.Thread(target=many) for _ in range(4)]\n"
            + "[t.start() for t in threads]; [t.join() for t in threads]",
        ],
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        time.sleep(0.3)
        lines = process.stderr.read().splitlines()
    assert len(lines) == 800
    assert all(json.loads(line)["event"] == "a" for line in lines)


def test_many_lines_are_written_like_single_ones() -> None:
    script = (
        "from stratuslab.core.service.logging import configure, info_many\n"
        "import structlog\n"
        "configure('info', 'json', 'test')\n"
        "structlog.get_logger().info('one.thing', path='/a', status=200, user=None)\n"
        "info_many('one.thing', [{'path': '/a', 'status': 200, 'user': None}] * 2)\n"
        "info_many('one.thing', [{'path': 'nats://u:hidden@h', 'status': 1, 'user': 'x'}])\n"
        "configure('warning', 'json', 'test')\n"
        "info_many('too.little', [{'path': '/a'}])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    for line in lines:
        line.pop("timestamp")
    assert len(lines) == 4
    assert lines[0] == lines[1] == lines[2]
    assert "hidden" not in done.stderr
