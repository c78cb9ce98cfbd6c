"""How settings are declared: a frozen structure per section, every field with its meaning.

    class AgentSettings(Settings, frozen=True, kw_only=True):
        section: ClassVar[str] = "vm-agent"
        heartbeat_seconds: Annotated[float, Setting("Time between heartbeats.", minimum=0.1)] = 5.0

Units are part of the names. Other packages announce their classes under the entry-point group
`stratuslab.settings`, so that `config show` and the reference pages find them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import msgspec


@dataclass(frozen=True)
class Setting:
    """What a field means and which values are sensible."""

    doc: str
    minimum: float | None = None
    maximum: float | None = None
    secret: bool = False


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all sections."""

    section: ClassVar[str] = ""


class CommonSettings(Settings, frozen=True, kw_only=True):
    """What every service needs to find its store and bus. Environment: `STRATUSLAB_<FIELD>`."""

    section: ClassVar[str] = "common"

    store: Annotated[
        str,
        Setting(
            "Where the documents are: `sqlite:/folder` or `memory:`. Empty: the file "
            "`/etc/stratuslab/couchbase.cfg` decides, else a Couchbase on this host is tried."
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


def declared(section: type[Settings]) -> dict[str, tuple[Any, Setting]]:
    """Type and meaning of each field. Fails for a field without one."""
    found: dict[str, tuple[Any, Setting]] = {}
    for name, hint in get_type_hints(section, include_extras=True).items():
        if name == "section" or get_origin(hint) is ClassVar:
            continue
        notes = [note for note in get_args(hint)[1:] if isinstance(note, Setting)]
        assert notes, f"the setting {section.__name__}.{name} has no meaning"
        found[name] = (get_args(hint)[0], notes[0])
    return found


def variable(section: str, name: str) -> str:
    """The environment variable of a setting."""
    prefix = "" if section == "common" else section.replace("-", "_").upper() + "_"
    return f"STRATUSLAB_{prefix}{name.upper()}"


def settings_classes() -> list[type[Settings]]:
    """The classes of every installed service, `common` first."""
    found: dict[str, type[Settings]] = {"common": CommonSettings}
    for point in sorted(entry_points(group="stratuslab.settings"), key=lambda each: each.name):
        loaded = point.load()
        found[loaded.section] = loaded
    return list(found.values())
