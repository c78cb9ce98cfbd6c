"""Which tests belong to which tier: what is marked `full` runs only with STRATUSLAB_FULL=1."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the full sizes out of `make test`; `make test-full` has them."""
    if os.environ.get("STRATUSLAB_FULL"):
        return
    full = [item for item in items if item.get_closest_marker("full")]
    if full:
        config.hook.pytest_deselected(items=full)
        items[:] = [item for item in items if item not in full]
