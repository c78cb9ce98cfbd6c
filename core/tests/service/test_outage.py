"""An outage is told once when it begins and once when it ends."""

from __future__ import annotations

from structlog.testing import capture_logs

from stratuslab.core.service.outage import Outage


def test_an_outage_is_told_twice_however_often_one_tries() -> None:
    outage = Outage("libvirt", uri="qemu:///system")
    with capture_logs() as lines:
        outage.over()
        for number in range(5):
            outage.lasts(OSError(f"attempt {number}"))
        assert outage.lasting
        for _ in range(5):
            outage.over()
    assert not outage.lasting
    assert [line["event"] for line in lines] == ["libvirt.lost", "libvirt.regained"]
    assert lines[0]["reason"] == "attempt 0"
    assert all(line["uri"] == "qemu:///system" for line in lines)
    assert lines[1]["after_seconds"] >= 0


def test_each_outage_is_told() -> None:
    outage = Outage("libvirt")
    with capture_logs() as lines:
        for _ in range(2):
            outage.lasts("gone")
            outage.over()
    assert len(lines) == 4
