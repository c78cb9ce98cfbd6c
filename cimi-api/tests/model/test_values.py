"""Units, keys, locations and references: pure functions and their laws."""

from __future__ import annotations

import base64
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratuslab.cimi_api.model.common import View
from stratuslab.cimi_api.model.credential import KEY_TYPES, checked_keys
from stratuslab.cimi_api.model.machine_configuration import (
    MIB,
    DiskBody,
    disk_body,
    kilobytes,
    shown_disk,
    stored_disk,
)
from stratuslab.cimi_api.model.machine_image import check_location
from stratuslab.cimi_api.model.machine_template import decoded_user_data
from stratuslab.cimi_api.model.references import referenced_id, relative_href
from stratuslab.core.contracts.machine import DiskSpec
from stratuslab.core.documents import Right
from stratuslab.core.errors import InvalidRequest, RequestError, TooLarge


@given(st.integers(1, 64 * 10**9))
def test_a_disk_is_a_whole_number_of_mib_and_never_a_unit_too_small(capacity_kb: int) -> None:
    disk = stored_disk(DiskBody(capacity=capacity_kb))
    assert disk.capacity_bytes % MIB == 0
    assert capacity_kb * 1000 - disk.capacity_bytes < 1000
    assert disk.capacity_bytes - capacity_kb * 1000 < MIB


@given(st.integers(1, 60_000))
def test_a_disk_that_is_sent_back_stays_as_it_is(mib: int) -> None:
    disk = DiskSpec(capacity_bytes=mib * MIB)
    assert stored_disk(disk_body(disk)) == disk
    only_standard = DiskBody(capacity=shown_disk(disk).capacity)
    assert stored_disk(only_standard).capacity_bytes == disk.capacity_bytes
    assert kilobytes(disk.capacity_bytes) * 1000 >= disk.capacity_bytes


def _key(kind: str, length: int = 64) -> str:
    name = kind.encode()
    blob = len(name).to_bytes(4, "big") + name + b"k" * length
    return f"{kind} {base64.b64encode(blob).decode()}"


@pytest.mark.parametrize("kind", sorted(KEY_TYPES))
def test_public_keys_of_all_types_are_taken(kind: str) -> None:
    assert checked_keys(_key(kind), "key") == _key(kind)
    assert checked_keys(f"  {_key(kind)} me@home \n\n", "key") == f"{_key(kind)} me@home"


def test_several_keys_one_a_line_without_comments() -> None:
    one, two = _key("ssh-rsa"), _key("ssh-ed25519")
    assert checked_keys(f"# mine\nComment: x\n{one}\r\n{two}\n", "key") == f"{one}\n{two}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "ssh-dss AAAA",
        "ssh-rsa",
        "ssh-rsa !!!!",
        _key("ssh-rsa").replace("ssh-rsa", "ssh-ed25519", 1),
        _key("ssh-rsa", 3),
        f'command="x" {_key("ssh-rsa")}',
        _key("ssh-rsa") + " a\x1bb",
        "-----BEGIN RSA PRIVATE KEY-----",
        f"{_key('ssh-rsa')}\nrubbish",
    ],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^credential\.key"):
        checked_keys(text, "credential.key")


@given(st.text())
def test_keys_of_any_text_are_taken_or_refused_never_worse(text: str) -> None:
    try:
        assert checked_keys(text, "key")
    except InvalidRequest:
        return


@given(st.text())
def test_a_location_of_any_text_is_taken_or_refused_never_worse(text: str) -> None:
    for administrator in (True, False):
        for location in (text, f"file://{text}", f"file:///{text}"):
            try:
                check_location(
                    location, administrator=administrator, folders=[Path("/none")], attribute="x"
                )
            except RequestError:
                continue
            assert location.startswith("simulated:")


@given(st.uuids(), st.sampled_from(["machine", "machine-image", "credential"]))
def test_references_lead_back_to_their_id(uuid: UUID, kind: str) -> None:
    id = str(uuid)
    href = View("https://cloud.example.org/cimi/", Right.VIEW).resource(kind, id)
    for each in (href, relative_href(kind, id), "/cimi/" + relative_href(kind, id), f"{href}?x"):
        assert referenced_id(each, kind, "x") == id


@given(st.text() | st.from_regex(r"(https?://h)?/?(cimi/)?machines?/[a-z/]*"))
def test_references_of_any_text_are_taken_or_refused_never_worse(text: str) -> None:
    try:
        assert "/" not in referenced_id(text, "machine", "x")
    except InvalidRequest:
        return


@pytest.mark.parametrize(
    "href",
    ["", "x", "machines", "machines/", "/machines/1", "x/machines/1", "http://h/machines/1",
     "/cimi/machines/1/disks", "/cimi/machineImages/1", "/cimi/machines/a%20b", "http://["],
)  # fmt: skip
def test_references_to_something_else_are_refused(href: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^machine\.href"):
        referenced_id(href, "machine", "machine.href")


def test_user_data_is_base64_with_a_limit() -> None:
    assert decoded_user_data("aGVs\n bG8=\n", "userData") == b"hello"
    with pytest.raises(InvalidRequest, match="userData"):
        decoded_user_data("aGVsbG8", "userData")
    whole = base64.b64encode(b"x" * 65536).decode()
    assert len(decoded_user_data(whole, "userData")) == 65536
    with pytest.raises(TooLarge):
        decoded_user_data(base64.b64encode(b"x" * 65537).decode(), "userData")
