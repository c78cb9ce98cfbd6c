"""The guest's small YAML reader, run by the guest's own busybox."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PROGRAM = Path(__file__).resolve().parents[3] / "cloud/guest-image/guest/lib/stratuslab"


def flatten(busybox: Path, text: str) -> dict[str, str]:
    done = subprocess.run(
        [busybox, "awk", "-f", PROGRAM / "yaml-flatten.awk"],
        input=text.encode(), capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise ValueError(done.stderr.decode())
    pairs = (line.partition("\t") for line in done.stdout.decode().split("\n") if line)
    return {path: unescaped(value) for path, _, value in pairs}


def unescaped(value: str) -> str:
    """What printf %b makes of it."""
    result, rest = "", value
    while rest:
        if rest[0] == "\\":
            result += {"n": "\n", "t": "\t", "\\": "\\"}[rest[1]]
            rest = rest[2:]
        else:
            result += rest[0]
            rest = rest[1:]
    return result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# only a comment\n", {}),
        ("a: 1\nb:   two words  # comment\n", {"a": "1", "b": "two words"}),
        ("a: 'it''s'\nb: \"x: #y\\n\"\n", {"a": "it's", "b": "x: #y\n"}),
        ("a:\n  b:\n    c: 1\nd: 2\n", {"a.b.c": "1", "d": "2"}),
        ("l:\n- one\n- two\n", {"l.0": "one", "l.1": "two"}),
        ("l:\n  - a: 1\n    b: 2\n  - a: 3\n", {"l.0.a": "1", "l.0.b": "2", "l.1.a": "3"}),
        ("l:\n  -\n    a: 1\n  - - x\n    - y\n", {"l.0.a": "1", "l.1.0": "x", "l.1.1": "y"}),
        ("users:\n  - default\n  - name: bob\n", {"users.0": "default", "users.1.name": "bob"}),
        ("a: |\n  one\n    two\n\n  three\nb: 1\n", {"a": "one\n  two\n\nthree\n", "b": "1"}),
        ("a: |-\n  one\n\n", {"a": "one"}),
        ("a: >\n  one\n  two\n\n  three\n", {"a": "one two\nthree\n"}),
        ("l:\n  - |\n    echo a\n    echo b\n  - x\n", {"l.0": "echo a\necho b\n", "l.1": "x"}),
        ("a: one\n  two\nb: 1\n", {"a": "one two", "b": "1"}),
        ("l: [ls, -l, '/a b', \"c\"]\n", {"l.0": "ls", "l.1": "-l", "l.2": "/a b", "l.3": "c"}),
        ("a: {b: 1, c: [2,\n  3]}\nd: 4\n", {"a.b": "1", "a.c.0": "2", "a.c.1": "3", "d": "4"}),
        ("a: null\nb: ~\nc:\nd: ''\n", {"a": "", "b": "", "c": "", "d": ""}),
        ("---\na: 1\n...\n", {"a": "1"}),
        ("a: http://x/y:80\r\nb: a#b\r\n", {"a": "http://x/y:80", "b": "a#b"}),
        ('"0":\n  openssh-key: ssh-rsa AAA= me@x\n', {"0.openssh-key": "ssh-rsa AAA= me@x"}),
    ],
)
def test_reads(busybox: Path, text: str, expected: dict[str, str]) -> None:
    assert flatten(busybox, text) == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nnonsense\n", 2),
        ("a: 1\n   b: 2\n", 2),
        ("a:\n    b: 2\n  c: 3\n", 3),
        ("a: [1, 2\n", 1),
        ("a: 'open\n", 1),
        ('a: "open\n', 1),
        ("a: &x 1\nb: *x\n", 1),
        ("a: !!binary x\n", 1),
        ("\ta: 1\n", 1),
        ("a: b: c\n", 1),
        ("a: [1] 2\n", 1),
        ("<html>\n", 1),
        ("[" * 100 + "]" * 100, 1),
        ("- a\nb: 1\n", 2),
    ],
)
def test_refuses_with_the_line(busybox: Path, text: str, line: int) -> None:
    with pytest.raises(ValueError, match=r"line \d+: ") as refusal:
        flatten(busybox, text)
    assert f"line {line}: " in str(refusal.value)


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n\t"))
KEY = st.text("abcdefghijklmnopqrstuvwxyz_-0123456789", min_size=1, max_size=8)
VALUES = st.recursive(
    TEXT,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4)
        | st.dictionaries(KEY, inner, min_size=1, max_size=4)
    ),
    max_leaves=12,
)


def flat(value: object, path: str = "") -> dict[str, str]:
    match value:
        case str():
            return {path: value}
        case list():
            entries = ((str(number), entry) for number, entry in enumerate(value))
        case dict():
            entries = iter(value.items())
        case _:
            raise TypeError(value)
    result: dict[str, str] = {}
    for name, entry in entries:
        result |= flat(entry, f"{path}.{name}" if path else name)
    return result


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(document=st.dictionaries(KEY, VALUES, min_size=1, max_size=4), pretty=st.booleans(),
       ascii_only=st.booleans())  # fmt: skip
def test_every_json_document_is_read_as_json_reads_it(
    busybox: Path, document: dict[str, object], pretty: bool, ascii_only: bool
) -> None:
    text = json.dumps(document, indent=2 if pretty else None, ensure_ascii=ascii_only)
    assert flatten(busybox, text) == flat(document)


def test_long_values_take_no_noticeable_time(busybox: Path) -> None:
    content = 'line of text with "quotes" and \\ marks\n' * 1500
    document = {"write_files": [{"path": "/x", "content": content}]}
    assert flatten(busybox, json.dumps(document))["write_files.0.content"] == content
