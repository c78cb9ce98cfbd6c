"""How settings are declared: a frozen structure per section, every field with its meaning.

    class AgentSettings(Settings, frozen=True, kw_only=True):
        section: ClassVar[str] = "vm-agent"
        heartbeat_seconds: Annotated[float, Setting("Time between heartbeats.", minimum=0.1)] = 5.0

Units are part of the names. Other packages announce their classes under the entry-point group
`stratuslab.settings`, so that complaints about unknown names, `config show` and the reference
pages find them; a class should live in a module that imports little. No I/O here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import msgspec

PREFIX = "STRATUSLAB_"
COMMON = "common"
GROUP = "stratuslab.settings"

UNITS = ("seconds", "bytes", "kib", "mib", "gib")
"""Units as they end the names of settings (`lost_after_seconds`) or precede `_max`."""


@dataclass(frozen=True)
class Setting:
    """What a field means and which values are sensible."""

    doc: str
    minimum: float | None = None
    maximum: float | None = None
    secret: bool = False
    """Never shown: not by `config show`, not in complaints."""


@dataclass(frozen=True)
class Declaration:
    """A field as declared: its type, its meaning and its default."""

    type: Any
    setting: Setting
    default: Any


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all sections."""

    section: ClassVar[str] = ""


class CommonSettings(Settings, frozen=True, kw_only=True):
    """What every service needs to find its store and bus. Environment: `STRATUSLAB_<FIELD>`."""

    section: ClassVar[str] = COMMON

    store: Annotated[
        str,
        Setting(
            "Where the documents are: `sqlite:/folder`, `memory:`, or "
            "`couchbase://user@host,host/bucket`. Empty: `/etc/stratuslab/couchbase.cfg` decides; "
            "without that file the default bucket of a Couchbase on this host is taken, and "
            "without that the service refuses to start."
        ),
    ] = ""
    store_wait_seconds: Annotated[
        float,
        Setting("How long a call waits for a store that is restarting.", minimum=0, maximum=60),
    ] = 5.0
    bus: Annotated[
        str, Setting("Where the bus is: `nats://host:port`, several with commas, or `memory:`.")
    ] = "nats://127.0.0.1:4222"
    bus_credentials_file: Annotated[
        str, Setting("JSON file with `user` and `password` for the bus, mode 0600.")
    ] = ""
    vault_key_file: Annotated[
        str, Setting("File with the key that encrypts secrets at rest, mode 0600.")
    ] = ""
    vault_key: Annotated[
        str,
        Setting("The same key itself, 64 hexadecimal digits; comes before the file.", secret=True),
    ] = ""
    ops_listen: Annotated[
        str,
        Setting(
            "Where health and metrics are served: `127.0.0.1:0` (any free port), `unix:/path`, "
            "or empty for nowhere."
        ),
    ] = ""
    ops_address_file: Annotated[
        str, Setting("File into which the address of `ops_listen` is written once it is known.")
    ] = ""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Setting("The least level that is logged.")
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "console"],
        Setting("`auto`: for people on a terminal, JSON lines elsewhere."),
    ] = "auto"
    drain_seconds: Annotated[
        float,
        Setting("How long a service may finish its work after SIGTERM.", minimum=0, maximum=10),
    ] = 8.0
    loop: Annotated[
        Literal["uvloop", "asyncio"], Setting("The event loop: uvloop is the faster one.")
    ] = "uvloop"


@cache
def declared(section: type[Settings]) -> Mapping[str, Declaration]:
    """The fields of a section by name. Fails for a field without a meaning or a default."""
    hints = get_type_hints(section, include_extras=True)
    found: dict[str, Declaration] = {}
    for field in msgspec.structs.fields(section):
        notes = [note for note in get_args(hints[field.name])[1:] if isinstance(note, Setting)]
        where = f"{section.__name__}.{field.name}"
        assert notes, f"the setting {where} has no meaning"
        assert notes[0].doc.strip(), f"the setting {where} has an empty meaning"
        default = field.default
        if default is msgspec.NODEFAULT:
            assert field.default_factory is not msgspec.NODEFAULT, f"{where} has no default"
            default = field.default_factory()
        found[field.name] = Declaration(get_args(hints[field.name])[0], notes[0], default)
    return MappingProxyType(found)


def variable(section: str, name: str) -> str:
    """The environment variable of a setting."""
    prefix = "" if section == COMMON else section.replace("-", "_").upper() + "_"
    return f"{PREFIX}{prefix}{name.upper()}"


def expected(type: Any) -> str:
    """What values of this type look like, for people."""
    if get_origin(type) is Literal:
        return "one of " + ", ".join(str(each) for each in get_args(type))
    if get_origin(type) is tuple:
        return "texts, in the environment with commas between them"
    return _EXPECTED.get(type, getattr(type, "__name__", str(type)))


_EXPECTED: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def unit_of(name: str) -> str:
    """The unit in a setting's name, "" for a text or a count."""
    words = name.removesuffix("_max").removesuffix("_min").split("_")
    return next((unit for unit in UNITS if unit in (words[-1], words[0])), "")


@cache
def settings_classes() -> tuple[type[Settings], ...]:
    """The classes of every installed service, `common` first."""
    from importlib.metadata import entry_points  # costs 15 ms, and few processes need it

    found: dict[str, type[Settings]] = {COMMON: CommonSettings}
    for point in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        loaded: type[Settings] = point.load()
        known = found.setdefault(loaded.section, loaded)
        assert known is loaded, f"the section [{loaded.section}] is declared twice"
    return tuple(found.values())
