"""The committed AsyncAPI document is the generated one, is sound, and keeps its promises."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from stratuslab.core.contracts.asyncapi import document, encode, main
from stratuslab.core.contracts.compatibility import incompatible_changes
from stratuslab.core.contracts.messages import (
    ADDRESSES,
    MACHINE_CONSOLE,
    MACHINE_STATE,
    Address,
)

COMMITTED = Path(__file__).parents[3] / "docs/reference/asyncapi.json"
Json = dict[str, Any]


def test_the_committed_document_is_the_generated_one() -> None:
    assert COMMITTED.read_bytes() == encode(document()), (
        "docs/reference/asyncapi.json is not what the code says. Run:\n"
        "  python -m stratuslab.core.contracts.asyncapi docs/reference/asyncapi.json"
    )


# -- soundness: what the AsyncAPI 3 schema would check of the parts used here


def every_reference(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for each in value.values():
            yield from every_reference(each)
    elif isinstance(value, list):
        for each in value:
            yield from every_reference(each)


def resolve(root: Json, reference: str) -> Any:
    value: Any = root
    for part in reference.removeprefix("#/").split("/"):
        value = value[part]
    return value


def test_every_reference_leads_somewhere() -> None:
    described = document()
    references = list(every_reference(described))
    assert references
    for reference in references:
        assert resolve(described, reference)


def test_every_address_is_a_channel_with_its_parameters_and_an_operation() -> None:
    described = document()
    assert described["asyncapi"].startswith("3.")
    assert set(described["info"]) >= {"title", "version"}
    for address in ADDRESSES:
        channel = described["channels"][address.name]
        assert channel["address"].startswith(address.prefix)
        assert channel["address"].count("{") == len(address.parameters)
        assert set(channel["parameters"]) == set(address.parameters)
        operation = described["operations"][address.name]
        assert operation["action"] in {"send", "receive"}
        assert operation["summary"], f"{address.name} has no summary"
        channel_at = operation["channel"]["$ref"]
        for message in operation["messages"]:
            assert message["$ref"].startswith(channel_at + "/messages/")
        assert ("reply" in operation) == (address.reply is not None)


def test_every_schema_is_a_json_schema() -> None:
    for message in document()["components"]["messages"].values():
        Draft7Validator.check_schema(message["headers"])
    for schema in document()["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)


PAYLOADS = [each for a in ADDRESSES for each in (a.payload, a.reply) if each is not None]


@given(data=st.data())
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda each: each.__name__)
def test_what_is_sent_fits_what_is_described(
    payload: type[msgspec.Struct], data: st.DataObject
) -> None:
    message = data.draw(st.from_type(payload))
    schemas = document()["components"]["schemas"]
    described = {**schemas[payload.__name__], "components": {"schemas": schemas}}
    Draft7Validator(described).validate(json.loads(msgspec.json.encode(message)))


# -- promises


def changed(path: str, value: Any = None) -> Json:
    """The document with one place changed, or removed when no value is given."""
    copied = copy.deepcopy(document())
    *above, last = path.split("/")
    place = copied
    for part in above:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return copied


SCHEMAS = "components/schemas"


def test_the_same_document_breaks_nothing() -> None:
    assert incompatible_changes(document(), document()) == []


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (changed(f"{SCHEMAS}/MachineStateChanged/properties/vmid"), "the field vmid is gone"),
        (
            changed(f"{SCHEMAS}/MachineStateChanged/properties/vmid", {"type": "string"}),
            "vmid: the type changed from integer to string",
        ),
        (
            changed(f"{SCHEMAS}/MachineStateChanged/properties/host", {"type": "string"}),
            "host: the type changed",
        ),
        (
            changed(f"{SCHEMAS}/MachineStateChanged/required", ["id"]),
            "the field state may now be missing",
        ),
        (
            changed(f"{SCHEMAS}/ConsoleQuery/required", ["id", "maxBytes"]),
            "the field maxBytes must now be given",
        ),
        (changed(f"{SCHEMAS}/ConsoleReply/properties/data"), "the field data is gone"),
        (changed("components/messages/vm.machine.state/payload"), "the payload is gone"),
        (
            changed("channels/vm.machine.state"),
            "The subject sl.vm.v1.evt.machine.state.{id} is gone",
        ),
        (
            changed("channels/vm.machine.state/address", "sl.vm.v1.evt.machine.state.{host}.{id}"),
            "The subject sl.vm.v1.evt.machine.state.{id} is gone",
        ),
    ],
)
def test_what_breaks_programs_is_told(new: Json, told: str) -> None:
    assert any(told in change for change in incompatible_changes(document(), new))


def with_new_field() -> Json:
    copied = copy.deepcopy(document())
    for name in ("MachineStateChanged", "ConsoleQuery"):
        copied["components"]["schemas"][name]["properties"]["extra"] = {"type": "string"}
    return copied


def test_new_optional_fields_and_new_subjects_break_nothing() -> None:
    grown = with_new_field()
    added = Address("vm", "evt", "machine", "moved", ("id",), payload=MACHINE_STATE.payload)
    grown["channels"] |= document((*ADDRESSES, added))["channels"]
    assert incompatible_changes(document(), grown) == []


def test_a_subject_may_go_when_a_new_version_has_come() -> None:
    newer = changed("channels/vm.machine.state/address", "sl.vm.v2.evt.machine.state.{id}")
    assert incompatible_changes(document(), newer) == []


def test_writing_refuses_to_break_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = document()
    older["components"]["schemas"]["HostStateChanged"]["properties"]["rack"] = {"type": "string"}
    file = tmp_path / "asyncapi.json"
    file.write_bytes(encode(older))
    assert main([str(file)]) == 1
    assert file.read_bytes() == encode(older)
    assert "the field rack is gone" in capsys.readouterr().err


def test_checking_writes_nothing(tmp_path: Path) -> None:
    older = copy.deepcopy(document())
    del older["channels"][MACHINE_CONSOLE.name]
    file = tmp_path / "asyncapi.json"
    file.write_bytes(encode(older))
    assert main(["--check", str(file)]) == 0
    assert file.read_bytes() == encode(older)
    assert main([str(file)]) == 0
    assert file.read_bytes() == encode(document())
