"""Reads settings: environment before TOML file before `couchbase.cfg` before default.

Owns precedence, sources and complaints. All that is wrong is told at once, with a suggestion
for a mistyped name; nothing is ever ignored silently. Secret values are never repeated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin

import msgspec

from stratuslab.core.errors import ConfigurationError
from stratuslab.core.settings.couchbase_cfg import COUCHBASE_FILE, read_couchbase_cfg
from stratuslab.core.settings.declaration import (
    COMMON,
    PREFIX,
    Declaration,
    Settings,
    declared,
    expected,
    settings_classes,
    variable,
)
from stratuslab.core.settings.toml_file import TomlFile, read_toml

S = TypeVar("S", bound=Settings)

DEFAULT_FILE = Path("/etc/stratuslab/stratuslab.toml")
OTHER_VARIABLES = frozenset(
    {"STRATUSLAB_CONFIG", "STRATUSLAB_REQUIRE_REAL", "STRATUSLAB_FULL", "STRATUSLAB_SEED"}
)
"""Variables with our prefix that are no settings: the file's path, switches of the test suite."""


@dataclass(frozen=True)
class Loaded(Generic[S]):
    """Settings with the source of each value: `default`, `<file>:<line>`,
    `environment variable <NAME>` or the path of `couchbase.cfg`."""

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
    (loaded,) = load_all([section], environ=environ, file=file, couchbase_file=couchbase_file)
    return loaded


def load_all(
    sections: Sequence[type[Settings]],
    *,
    environ: Mapping[str, str],
    file: Path | None = None,
    couchbase_file: Path = COUCHBASE_FILE,
    service: str = "",
) -> list[Loaded[Any]]:
    """The settings of several sections, in the same order.

    `file`: instead of the one named by STRATUSLAB_CONFIG or /etc/stratuslab/stratuslab.toml.
    `service`: whose section of `couchbase.cfg` counts. Raises ConfigurationError naming
    everything that is wrong in all of them.
    """
    named = file or (Path(environ["STRATUSLAB_CONFIG"]) if "STRATUSLAB_CONFIG" in environ else None)
    toml = read_toml(named or DEFAULT_FILE, required=named is not None)
    wrong = _unknown(environ, toml, sections)
    if wrong:
        # Only now: looking at all that is installed takes longer than all the rest.
        wrong = _unknown(environ, toml, [*settings_classes(), *sections])
    loaded = [_section(each, environ, toml, couchbase_file, service, wrong) for each in sections]
    if wrong:
        several = f"{len(wrong)} errors in the configuration. " if len(wrong) > 1 else ""
        raise ConfigurationError(several + " ".join(wrong))
    return [
        Loaded(section(**values), sources)
        for section, (values, sources) in zip(sections, loaded, strict=True)
    ]


def _section(
    section: type[Settings],
    environ: Mapping[str, str],
    toml: TomlFile,
    couchbase_file: Path,
    service: str,
    wrong: list[str],
) -> tuple[dict[str, Any], dict[str, str]]:
    """Values and sources of one section; complaints are added to `wrong`."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    table = toml.tables.get(section.section)
    for name, declaration in declared(section).items():
        key = variable(section.section, name)
        if key in environ:
            raw, source, strict = environ[key], f"environment variable {key}", False
        elif isinstance(table, dict) and name in table:
            raw, source, strict = table[name], toml.place(section.section, name), True
        else:
            sources[name] = "default"
            continue
        sources[name] = source
        try:
            values[name] = _value(raw, declaration, strict=strict)
        except ValueError as error:
            shown = "" if declaration.setting.secret else f" is {_short(raw)} and"
            wrong.append(f"{source}: {name}{shown} must be {error}")
    if section.section == COMMON and not values.get("store"):
        legacy = read_couchbase_cfg(couchbase_file, service)
        if legacy is not None:
            values["store"], sources["store"] = legacy.url, str(couchbase_file)
    return values, sources


def _value(raw: Any, declaration: Declaration, *, strict: bool) -> Any:
    """The typed value. Raises ValueError saying what would be right."""
    type, setting = declaration.type, declaration.setting
    if isinstance(raw, str) and get_origin(type) is tuple:
        raw = [part.strip() for part in raw.split(",") if part.strip()]
    if isinstance(raw, str) and not strict and type is not str:
        raw = raw.strip()
    try:
        value = msgspec.convert(raw, type, strict=strict)
    except msgspec.ValidationError:
        choices = get_args(type) if get_origin(type) is Literal else ()
        raise ValueError(f"{expected(type)}.{_suggestion(str(raw), choices)}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a finite number.")
    if setting.minimum is not None and value < setting.minimum:
        raise ValueError(f"at least {setting.minimum:g}.")
    if setting.maximum is not None and value > setting.maximum:
        raise ValueError(f"at most {setting.maximum:g}.")
    return value


def _unknown(
    environ: Mapping[str, str], toml: TomlFile, sections: Iterable[type[Settings]]
) -> list[str]:
    """Complaints about names that none of these sections has."""
    known = {section.section: section for section in sections}
    return [*_unknown_variables(environ, known), *_unknown_keys(toml, known)]


def _unknown_variables(
    environ: Mapping[str, str], sections: Mapping[str, type[Settings]]
) -> list[str]:
    known = {
        variable(section, name) for section in sections for name in declared(sections[section])
    }
    return [
        f"The environment variable {key} is unknown.{_suggestion(key, known)}"
        for key in sorted(environ)
        if key.startswith(PREFIX) and key not in known | OTHER_VARIABLES
    ]


def _unknown_keys(toml: TomlFile, sections: Mapping[str, type[Settings]]) -> list[str]:
    wrong: list[str] = []
    for name, table in toml.tables.items():
        if not isinstance(table, dict):
            place = toml.place("", name)
            more = _elsewhere(name, sections)
            wrong.append(f"{place}: {name} stands outside of any section.{more}")
        elif name not in sections:
            more = _suggestion(name, sections) or " No service that is installed here has it."
            wrong.append(f"{toml.place(name)}: the section [{name}] is unknown.{more}")
        else:
            known = declared(sections[name])
            wrong += [
                f"{toml.place(name, key)}: the key {key} in [{name}] is unknown."
                f"{_elsewhere(key, sections) or _suggestion(key, known)}"
                for key in table
                if key not in known
            ]
    return wrong


def _elsewhere(key: str, sections: Mapping[str, type[Settings]]) -> str:
    owner = next((name for name, each in sections.items() if key in declared(each)), "")
    return f" It belongs under [{owner}]." if owner else ""


def _suggestion(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""


def _short(raw: Any) -> str:
    text = repr(raw)
    return text if len(text) <= 60 else text[:57] + "..."
