"""CloudEntryPoint: the one address a client has to know. Made from the table of resources."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from stratuslab.cimi_api.model.common import NAMESPACE, Extension, Reference, Representation

PATH = "cloudEntryPoint"


class CloudEntryPointRepresentation(
    Representation, kw_only=True, tag=f"{NAMESPACE}/CloudEntryPoint"
):
    """DSP0263 CloudEntryPoint; the collections follow in `entry_point_type`."""

    base_uri: str = msgspec.field(name="baseURI")
    driver: Extension[str]
    provider: Extension[str]


def entry_point_type(collections: list[str]) -> type[CloudEntryPointRepresentation]:
    """The type with one reference per collection, named by the table."""
    made = msgspec.defstruct(
        "CloudEntryPoint",
        [(name, Reference | None, None) for name in collections],
        bases=(CloudEntryPointRepresentation,),
        kw_only=True,
        omit_defaults=True,
        tag_field="resourceURI",
        tag=f"{NAMESPACE}/CloudEntryPoint",
    )
    assert issubclass(made, CloudEntryPointRepresentation)
    return made


def entry_point(
    base: str, collections: Mapping[str, str], *, name: str, provider: str
) -> Representation:
    """The entry point at this base URI; `collections` maps its attributes to paths."""
    made = entry_point_type(list(collections))(
        id=f"{base}{PATH}", name=name, base_uri=base, driver="stratuslab", provider=provider
    )
    for attribute, path in collections.items():
        setattr(made, attribute, Reference(f"{base}{path}"))
    return made
