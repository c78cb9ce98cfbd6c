"""Shows what the settings of this machine are and where each value comes from; secrets masked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from stratuslab.core.settings.declaration import declared, settings_classes
from stratuslab.core.settings.loading import load_all

MASK = "********"
_PASSWORD_IN_URL = re.compile(r"(://[^\s/:@]*:)[^\s/@]+@")


class ShownSetting(msgspec.Struct, frozen=True):
    """One line of `config show`."""

    section: str
    name: str
    value: Any
    source: str


def shown(environ: Mapping[str, str], file: Path | None = None) -> list[ShownSetting]:
    """Every setting of every installed service. Raises ConfigurationError."""
    lines: list[ShownSetting] = []
    sections = settings_classes()
    for section, loaded in zip(
        sections, load_all(sections, environ=environ, file=file), strict=True
    ):
        for name, declaration in declared(section).items():
            value = masked(getattr(loaded.settings, name), secret=declaration.setting.secret)
            lines.append(ShownSetting(section.section, name, value, loaded.sources[name]))
    return lines


def masked(value: Any, *, secret: bool) -> Any:
    """The value as it may be shown; also a password inside a URL is hidden."""
    if secret and value:
        return MASK
    if isinstance(value, str):
        return _PASSWORD_IN_URL.sub(rf"\1{MASK}@", value)
    if isinstance(value, tuple):
        return [masked(each, secret=False) for each in value]
    return value


def as_text(lines: Sequence[ShownSetting]) -> str:
    """For people: a TOML file with the source of each value as a comment."""
    text: list[str] = []
    section = None
    written = [(line, f"{line.name} = {_toml(line.value)}") for line in lines]
    width = min(max((len(each) for _line, each in written), default=0), 60)
    for line, assignment in written:
        if line.section != section:
            text += ["", f"[{line.section}]"] if section else [f"[{line.section}]"]
            section = line.section
        text.append(f"{assignment:<{width}}  # {line.source}")
    return "\n".join(text) + "\n"


def as_json(lines: Sequence[ShownSetting]) -> bytes:
    """For programs: a list of objects with section, name, value and source."""
    return msgspec.json.format(msgspec.json.encode(lines), indent=2) + b"\n"


def _toml(value: Any) -> str:
    """JSON's texts, numbers, booleans and lists of texts are TOML as well."""
    return msgspec.json.encode(value).decode()
