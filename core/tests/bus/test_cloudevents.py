"""CloudEvents over NATS: what is written can be read, and what strangers write too."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratuslab.core.bus.cloudevents import CloudEvent, is_extension_name, read, to_headers
from stratuslab.core.errors import InvalidRequest

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
events = st.builds(
    CloudEvent,
    id=texts,
    source=texts,
    type=texts,
    subject=st.none() | texts,
    time=st.none() | st.datetimes(timezones=zones),
    datacontenttype=texts,
    dataschema=st.none() | texts,
    extensions=st.dictionaries(
        st.from_regex(re.compile(r"[a-z0-9]{1,10}"), fullmatch=True).filter(is_extension_name),
        texts,
        max_size=3,
    ),
    data=st.binary(max_size=50),
)


@given(events)
def test_an_event_comes_back_as_it_went(event: CloudEvent) -> None:
    headers = to_headers(event)
    for name, value in headers.items():
        assert re.fullmatch(r"ce-[a-z0-9]+", name)
        assert re.fullmatch(r"[\x21-\x7e]+", value), "one line of printable ASCII"
    assert read(headers, event.data) == event


def test_values_are_percent_encoded_as_the_specification_shows() -> None:
    event = CloudEvent(id="1", source="/s", type="t", subject='Euro € 😀 "100%"')
    assert to_headers(event)["ce-subject"] == "Euro%20%E2%82%AC%20%F0%9F%98%80%20%22100%25%22"


def test_header_names_are_read_in_any_case() -> None:
    event = read(
        {"CE-SpecVersion": "1.0", "Ce-Id": "1", "ce-source": "/s", "cE-tYpe": "t"}, b"data"
    )
    assert (event.id, event.source, event.type, event.data) == ("1", "/s", "t", b"data")


STRUCTURED = {"content-type": "application/cloudevents+json; charset=UTF-8"}


def structured(**members: object) -> bytes:
    return json.dumps(
        {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", **members}
    ).encode()


@pytest.mark.parametrize(
    ("members", "data"),
    [
        ({"data": {"a": [1, None]}}, b'{"a":[1,null]}'),
        ({"data": "text"}, b'"text"'),
        ({"data": "text", "datacontenttype": "text/plain"}, b"text"),
        ({"data_base64": base64.b64encode(b"\x00\xff").decode()}, b"\x00\xff"),
        ({}, b""),
    ],
)
def test_structured_mode_is_read(members: dict[str, object], data: bytes) -> None:
    assert read(STRUCTURED, structured(**members)).data == data


def test_attributes_of_structured_mode_become_strings() -> None:
    event = read(STRUCTURED, structured(time="2026-01-02T03:04:05Z", retries=3, urgent=True))
    assert event.time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert event.extensions == {"retries": "3", "urgent": "true"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b""),
        ({"ce-specversion": "0.3", "ce-id": "1", "ce-source": "/", "ce-type": "t"}, b""),
        ({"ce-specversion": "1.0", "ce-source": "/", "ce-type": "t"}, b""),
        (
            {
                "ce-specversion": "1.0",
                "ce-id": "1",
                "ce-source": "/",
                "ce-type": "t",
                "ce-time": "yesterday",
            },
            b"",
        ),
        (STRUCTURED, b"\xff"),
        (STRUCTURED, b"[]"),
        (STRUCTURED, structured(data_base64="?")),
        (STRUCTURED, structured(data_base64=5)),
        (STRUCTURED, structured(nested={"a": 1})),
        (STRUCTURED, structured(id=None)),
    ],
)
def test_what_is_no_event_is_refused(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(headers, body)


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20)), st.binary(max_size=60))
def test_no_message_upsets_the_reader(headers: dict[str, str], body: bytes) -> None:
    for more in ({}, STRUCTURED, {"ce-specversion": "1.0"}):
        try:
            read({**headers, **more}, body)
        except InvalidRequest:
            continue


@pytest.mark.parametrize("name", ["id", "data", "specversion", "Upper", "da-sh", "", "x" * 65])
def test_extensions_have_proper_names(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        to_headers(CloudEvent(id="1", source="/", type="t", extensions={name: "x"}))
