"""The three dialects of couchbase.cfg, and files nobody could have meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratuslab.core.errors import ConfigurationError
from stratuslab.core.settings.couchbase_cfg import (
    CouchbaseAddress,
    parse_couchbase_cfg,
    read_couchbase_cfg,
)

DIALECTS = {
    "blank-separated hosts in the section of the API": (
        "[DEFAULT]\nbucket = b\n[cimi]\nhost = db1 db2:91\nusername = u\npassword = p#;:%x\n",
        CouchbaseAddress(("db1", "db2:91"), "b", "u", "p#;:%x"),
    ),
    "one host in the section of a controller": (
        "[sl-pdc]\nhost = 127.0.0.1\npassword =\ncfg_docid = Configuration/sl-pdc\n",
        CouchbaseAddress(document="Configuration/sl-pdc"),
    ),
    "comma-separated hosts of the manuals": (
        "hosts=h1,h2, h3\nconfig=ServiceConfiguration/cimi\n",
        CouchbaseAddress(("h1", "h2", "h3"), document="ServiceConfiguration/cimi"),
    ),
    "a port for all hosts": (
        "[DEFAULT]\nhost = h1 h2:1 [::1] [::2]:3\nport = 8091\n",
        CouchbaseAddress(("h1:8091", "h2:1", "[::1]:8091", "[::2]:3")),
    ),
    "keys before any section complete the sections": (
        "bucket = first\nusername = first\n[DEFAULT]\nusername = second\n[cimi]\nhost = h\n",
        CouchbaseAddress(("h",), "first", "second"),
    ),
    "comments, blank lines, carriage returns and colons": (
        "# old\r\n; older\r\n\r\n[DEFAULT]\r\nHost : h1\r\n",
        CouchbaseAddress(("h1",)),
    ),
    "keys of other programs": ("host = h\nview = doc-id\nsolo\n", CouchbaseAddress(("h",))),
    "nothing": ("", CouchbaseAddress()),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_each_dialect_is_understood(name: str) -> None:
    text, address = DIALECTS[name]
    assert parse_couchbase_cfg(text) == address


def test_a_services_own_section_comes_first() -> None:
    text = "[cimi]\nhost = a\n[vm-agent]\nhost = b\n"
    assert parse_couchbase_cfg(text).hosts == ("a",)
    assert parse_couchbase_cfg(text, "vm-agent").hosts == ("b",)
    assert parse_couchbase_cfg(text, "absent").hosts == ("a",)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("host = h1 http://h2\n", "'http://h2' is no host"),
        ("host = h\nport = many\n", "'many' is no number"),
        ("= hunter2\n", "cannot be understood in line 2"),
    ],
)
def test_what_cannot_be_meant_is_refused_without_showing_a_password(
    text: str, complaint: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_couchbase_cfg("password = hunter2\n" + text)
    assert complaint in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_password_is_in_no_text_form() -> None:
    address = parse_couchbase_cfg("username = a@b/c\npassword = hunter2\n")
    assert address.password == "hunter2"
    assert "hunter2" not in repr(address) + str(address) + address.url
    assert address.url == "couchbase://a%40b%2Fc@127.0.0.1/default"


def test_an_absent_file_is_nothing_and_an_unreadable_one_an_error(tmp_path: Path) -> None:
    assert read_couchbase_cfg(tmp_path / "absent") is None
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_couchbase_cfg(tmp_path)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read_couchbase_cfg(binary)


@given(st.text(max_size=200))
def test_any_text_is_either_understood_or_refused_in_one_line(text: str) -> None:
    try:
        parse_couchbase_cfg(text)
    except ConfigurationError as refusal:
        complaint = refusal.message
    else:
        complaint = ""
    assert "\n" not in complaint
