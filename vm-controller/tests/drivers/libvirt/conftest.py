"""Golden files: what was agreed on, in `golden/`.

After a wanted change: `GOLDEN_REWRITE=1 pytest vm-controller/tests/drivers/libvirt`, then read
the difference.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden() -> Callable[[str, str], str]:
    """The agreed text for a file name; the second argument becomes it when rewriting."""

    def agreed(name: str, made: str) -> str:
        if os.environ.get("GOLDEN_REWRITE") == "1":
            (GOLDEN / name).write_text(made)
        return (GOLDEN / name).read_text()

    return agreed
