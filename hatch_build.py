"""Build hook of the root project: its needs and commands are the union of its members'.

Each service folder states its own dependencies once, in its own pyproject.toml, so that it can
be installed alone; the root must not repeat them.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class UnionOfMembers(MetadataHookInterface):
    """Fills in dependencies, extras, commands and entry points from the members."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        root = Path(self.root)
        own = tomllib.loads((root / "pyproject.toml").read_text())
        dependencies: set[str] = set()
        extras: dict[str, set[str]] = {}
        scripts: dict[str, str] = {}
        entry_points: dict[str, dict[str, str]] = {}
        for member in own["tool"]["stratuslab"]["members"]:
            project = tomllib.loads((root / member / "pyproject.toml").read_text())["project"]
            dependencies |= set(project.get("dependencies", []))
            for extra, needs in project.get("optional-dependencies", {}).items():
                extras.setdefault(extra, set()).update(needs)
            scripts |= project.get("scripts", {})
            for group, entries in project.get("entry-points", {}).items():
                entry_points.setdefault(group, {}).update(entries)
        metadata["dependencies"] = sorted(foreign(dependencies))
        metadata["optional-dependencies"] = {
            extra: sorted(foreign(needs)) for extra, needs in extras.items()
        }
        metadata["scripts"] = scripts
        metadata["entry-points"] = entry_points


def foreign(needs: set[str]) -> set[str]:
    """Without the members' needs for each other."""
    return {need for need in needs if not need.startswith("stratuslab-")}
