"""Reads settings: environment before TOML file before `couchbase.cfg` before default.

Owns precedence, sources and complaints. All that is wrong is told at once, with a suggestion
for a mistyped name; nothing is ever ignored silently.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Generic, TypeVar, get_origin

import msgspec

from stratuslab.core.errors import ConfigurationError
from stratuslab.core.settings.couchbase_cfg import read_couchbase_cfg
from stratuslab.core.settings.declaration import (
    CommonSettings,
    Setting,
    Settings,
    declared,
    settings_classes,
    variable,
)

S = TypeVar("S", bound=Settings)

DEFAULT_FILE = Path("/etc/stratuslab/stratuslab.toml")
COUCHBASE_FILE = Path("/etc/stratuslab/couchbase.cfg")
OTHER_VARIABLES = frozenset(
    {"STRATUSLAB_CONFIG", "STRATUSLAB_REQUIRE_REAL", "STRATUSLAB_FULL", "STRATUSLAB_SEED"}
)
"""Variables with our prefix that are no settings."""


@dataclass(frozen=True)
class Loaded(Generic[S]):
    """Settings with the source of each value."""

    settings: S
    sources: dict[str, str]


def load(
    section: type[S],
    *,
    environ: Mapping[str, str],
    file: Path | None = None,
    couchbase_file: Path = COUCHBASE_FILE,
) -> Loaded[S]:
    """The settings of one section. Raises ConfigurationError naming everything that is wrong."""
    path = file or (Path(environ["STRATUSLAB_CONFIG"]) if "STRATUSLAB_CONFIG" in environ else None)
    tables = _read(path or DEFAULT_FILE, required=path is not None)
    wrong = [*_unknown_variables(environ), *_unknown_keys(tables, path or DEFAULT_FILE)]
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    table = tables.get(section.section, {})
    for name, (type, setting) in declared(section).items():
        key = variable(section.section, name)
        if key in environ:
            raw, sources[name], strict = environ[key], f"environment variable {key}", False
        elif isinstance(table, dict) and name in table:
            raw, sources[name], strict = table[name], f"file {path or DEFAULT_FILE}", True
        else:
            sources[name] = "default"
            continue
        try:
            values[name] = _value(raw, type, setting, strict=strict)
        except (ValueError, msgspec.ValidationError) as error:
            shown = "" if setting.secret else f" {raw!r}"
            wrong.append(f"{sources[name]}: {name}{shown}: {error}.")
    if issubclass(section, CommonSettings) and not values.get("store"):
        legacy = read_couchbase_cfg(couchbase_file)
        if legacy is not None:
            values["store"], sources["store"] = legacy.url, f"file {couchbase_file}"
    if wrong:
        raise ConfigurationError("The configuration is wrong. " + " ".join(wrong))
    return Loaded(section(**values), sources)


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        if not required:
            return {}
        raise ConfigurationError(
            f"The configuration file {path} does not exist.",
            hint="Create it, or unset STRATUSLAB_CONFIG.",
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            f"The configuration file {path} is unreadable: {error}."
        ) from error


def _value(raw: Any, type: Any, setting: Setting, *, strict: bool) -> Any:
    if isinstance(raw, str) and get_origin(type) is tuple:
        raw = [part.strip() for part in raw.split(",") if part.strip()]
    value = msgspec.convert(raw, type, strict=strict, dec_hook=_path)
    if setting.minimum is not None and value < setting.minimum:
        raise ValueError(f"must be at least {setting.minimum:g}")
    if setting.maximum is not None and value > setting.maximum:
        raise ValueError(f"must be at most {setting.maximum:g}")
    return value


def _path(type: Any, raw: Any) -> Any:
    if type is Path and isinstance(raw, str):
        return Path(raw)
    raise ValueError(f"must be a {type.__name__}")


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    known = {
        variable(section.section, name)
        for section in settings_classes()
        for name in declared(section)
    }
    return [
        f"The environment variable {key} is unknown.{_suggestion(key, known)}"
        for key in environ
        if key.startswith("STRATUSLAB_") and key not in known | OTHER_VARIABLES
    ]


def _unknown_keys(tables: dict[str, Any], path: Path) -> list[str]:
    sections = {section.section: section for section in settings_classes()}
    wrong: list[str] = []
    for name, table in tables.items():
        if name not in sections:
            wrong.append(f"{path}: the section [{name}] is unknown.{_suggestion(name, sections)}")
        elif not isinstance(table, dict):
            wrong.append(f"{path}: {name} must be a section.")
        else:
            known = declared(sections[name])
            wrong += [
                f"{path}: the key {key} in [{name}] is unknown.{_suggestion(key, known)}"
                for key in table
                if key not in known
            ]
    return wrong


def _suggestion(word: str, known: Any) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""
