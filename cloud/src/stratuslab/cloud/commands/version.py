"""`stratuslab version`."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version


def configure(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(arguments: argparse.Namespace) -> int:  # noqa: ARG001
    """Runs the command."""
    print(f"StratusLab {own_version()} on Python {platform.python_version()}")
    return 0


def own_version() -> str:
    """The version of what is installed, as one distribution or as a member."""
    for name in ("stratuslab", "stratuslab-cloud"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "of an unknown version"
