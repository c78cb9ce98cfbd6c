"""Shows what the settings of this machine are and where each value comes from; secrets masked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from stratuslab.core.settings.declaration import declared, settings_classes
from stratuslab.core.settings.loading import load

MASK = "********"


class ShownSetting(msgspec.Struct, frozen=True):
    """One line of `config show`."""

    section: str
    name: str
    value: Any
    source: str


def shown(environ: Mapping[str, str], file: Path | None = None) -> list[ShownSetting]:
    """Every setting of every installed service. Raises ConfigurationError."""
    lines: list[ShownSetting] = []
    for section in settings_classes():
        loaded = load(section, environ=environ, file=file)
        for name, (_type, setting) in declared(section).items():
            value = getattr(loaded.settings, name)
            if setting.secret and value:
                value = MASK
            if not isinstance(value, str | int | float | bool):
                value = msgspec.to_builtins(value, enc_hook=str)
            lines.append(ShownSetting(section.section, name, value, loaded.sources[name]))
    return lines


def as_text(lines: list[ShownSetting]) -> str:
    """A table for people, one section after the other."""
    width = max((len(line.name) for line in lines), default=0)
    text: list[str] = []
    section = None
    for line in lines:
        if line.section != section:
            section = line.section
            text.append(f"[{section}]")
        text.append(f"  {line.name:<{width}}  {line.value!s:<30}  # {line.source}")
    return "\n".join(text) + "\n"
