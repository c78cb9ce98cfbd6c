"""Every representation is typed well enough for any format, and echoes into its own body."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from stratuslab.cimi_api.handlers.errors import ErrorRepresentation
from stratuslab.cimi_api.model import machine_parts
from stratuslab.cimi_api.model.common import Operation, Representation, collection_name
from stratuslab.cimi_api.model.entry_point import entry_point_type
from stratuslab.cimi_api.resources import CONSOLE_LOG, TABLE, Resource

PLAIN = (
    inspect.StrType,
    inspect.IntType,
    inspect.BoolType,
    inspect.DateTimeType,
    inspect.LiteralType,
)
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _parts(parts: Any) -> list[type[Representation]]:
    return [type for part in parts for type in (part.item, *_parts(part.parts))]


ALL: list[type[Representation]] = [
    *(resource.representation for resource in TABLE),
    *_parts(machine_parts.PARTS),
    entry_point_type([resource.entry_point for resource in TABLE]),
    ErrorRepresentation,
]


def _check(info: inspect.Type, where: str) -> None:
    """A text, a number, a truth, a time, a structure, or a list or map of such."""
    if isinstance(info, inspect.Metadata):
        _check(info.type, where)
    elif isinstance(info, inspect.UnionType):
        options = [each for each in info.types if not isinstance(each, inspect.NoneType)]
        assert len(options) == 1, f"{where} could be rendered in two ways"
        _check(options[0], where)
    elif isinstance(info, inspect.ListType):
        _check(info.item_type, where)
    elif isinstance(info, inspect.DictType):
        assert isinstance(info.key_type, inspect.StrType), where
        assert isinstance(info.value_type, inspect.StrType), where
    elif isinstance(info, inspect.StructType):
        for field in info.fields:
            assert IDENTIFIER.fullmatch(field.encode_name), f"{where}.{field.encode_name}"
            _check(field.type, f"{where}.{field.encode_name}")
    else:
        assert isinstance(info, PLAIN), f"{where}: {info} has no rendering"


@pytest.mark.parametrize("type_", ALL, ids=lambda each: each.__name__)
def test_every_attribute_has_a_type_that_any_format_can_render(
    type_: type[Representation],
) -> None:
    tag = str(type_.__struct_config__.tag)
    assert tag.startswith(("http://schemas.dmtf.org/cimi/1/", "https://stratuslab.eu/cimi/1/"))
    _check(inspect.type_info(type_), type_.__name__)


@pytest.mark.parametrize("type_", ALL, ids=lambda each: each.__name__)
def test_the_common_attributes_come_first(type_: type[Representation]) -> None:
    common = Representation.__struct_encode_fields__
    assert type_.__struct_encode_fields__[: len(common)] == common


@pytest.mark.parametrize("resource", TABLE, ids=lambda each: each.type_name)
def test_everything_writable_but_secrets_is_shown(resource: Resource[Any]) -> None:
    if resource.body is None:
        return
    shown = set(resource.representation.__struct_encode_fields__) | {"resourceURI"}
    written = set(resource.body.__struct_encode_fields__)
    assert written - shown <= {"password", "userData"}


@pytest.mark.parametrize("resource", TABLE, ids=lambda each: each.type_name)
def test_every_entry_of_the_table_is_complete(resource: Resource[Any]) -> None:
    if "edit" in resource.rights:
        assert resource.body is not None
        assert resource.body_of is not None
        assert resource.edit is not None or resource.write is not None
    if resource.add is not None:
        assert resource.create is not None or (resource.new and resource.write)
    if set(resource.actions):
        assert resource.act is not None
    for field in resource.filters.values():
        assert field in resource.kind.by_name
    assert "created" in resource.kind.by_name
    assert CONSOLE_LOG not in resource.actions


def test_collections_and_entry_points_are_named_once() -> None:
    for names in (
        [resource.collection for resource in TABLE],
        [resource.entry_point for resource in TABLE],
        [resource.type_uri for resource in TABLE],
    ):
        assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("kind", "collection"),
    [
        ("machine", "machines"),
        ("machine-image", "machineImages"),
        ("forwarding-group-template", "forwardingGroupTemplates"),
        ("address", "addresses"),
    ],
)
def test_collections_are_named_after_their_kind(kind: str, collection: str) -> None:
    assert collection_name(kind) == collection


def test_absent_means_undefined_and_nothing_is_empty() -> None:
    body = Representation(id="x", operations=[Operation("edit", "x")])
    assert msgspec.to_builtins(body) == {
        "resourceURI": "Representation",
        "id": "x",
        "operations": [{"rel": "edit", "href": "x"}],
    }
    full = Representation(id="x", created=datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC))
    assert b'"created":"2026-01-02T03:04:05.678000Z"' in msgspec.json.encode(full)
