"""A private libvirt, and the tiny guest image when it has been built."""

from __future__ import annotations

from pathlib import Path

import pytest
from private_libvirt_fixture import private_libvirt
from real_parts import require

__all__ = ["private_libvirt"]

IMAGE = Path(__file__).parents[3] / "build/images/tiny.qcow2"


@pytest.fixture(scope="session")
def image() -> Path:
    """The tiny guest image."""
    require("guest image", None if IMAGE.exists() else f"no {IMAGE}; run: make image")
    return IMAGE
