"""The end of a console log over the parts it was rotated into."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratuslab.vm_controller.drivers.libvirt.console import log_tail


def test_no_log_is_empty(tmp_path: Path) -> None:
    assert log_tail(tmp_path / "console.log", 100) == b""


@given(parts=st.lists(st.binary(max_size=20), min_size=1, max_size=5), wanted=st.integers(0, 120))
def test_it_is_the_end_of_all_parts_together(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], wanted: int
) -> None:
    log = tmp_path_factory.mktemp("log") / "console.log"
    newest, *older = parts
    log.write_bytes(newest)
    for number, part in enumerate(older):
        log.with_name(f"console.log.{number}").write_bytes(part)
    whole = b"".join(reversed(parts))
    assert log_tail(log, wanted) == whole[len(whole) - min(wanted, len(whole)) :]
