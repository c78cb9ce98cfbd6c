from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from stratuslab.cloud.commands.common import typed
from stratuslab.cloud.first_guest import ShownGuest
from stratuslab.cloud.layout import DataFolder
from stratuslab.cloud.screens import cloud_screen, down_line, guest_screen
from stratuslab.cloud.status import CloudStatus
from stratuslab.cloud.terminal import Terminal

PLAIN = Terminal(io.StringIO(), {})
URI = "http://127.0.0.1:8400/cimi/machines/1"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    monkeypatch.chdir(tmp_path)
    return DataFolder(tmp_path / "data")


def status(data: DataFolder) -> CloudStatus:
    return CloudStatus(
        url="http://127.0.0.1:8400",
        cimi="http://127.0.0.1:8400/cimi",
        user="admin",
        password_file=str(data.password_file),
        hypervisor="simulated",
        machines="simulated, as asked",
        data=str(data.path),
        pid=1,
    )


def test_the_screen_says_where_the_cloud_is_and_who_may_use_it(data: DataFolder) -> None:
    screen = cloud_screen(status(data), data, PLAIN)
    for words in (
        "address    http://127.0.0.1:8400/cimi",
        "user       admin",
        "password   in data/secrets/admin-password",
        "machines   simulated, as asked",
        "logs       data/logs",
    ):
        assert words in screen
    shown = cloud_screen(status(data), data, PLAIN, password="s3cret")
    assert "password   s3cret  (kept in data/secrets/admin-password)" in shown


def test_down_tells_when_machines_run_on(data: DataFolder) -> None:
    assert down_line(None) == down_line(status(data)) == "The cloud is down."
    known = status(data)
    known.guests_run_on, known.machines = True, "by the libvirt of this machine, qemu:///system"
    assert down_line(known).endswith("run on, by the libvirt of this machine, qemu:///system.")


def test_commands_are_given_as_one_has_to_type_them(
    data: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = DataFolder(data.path.parent / "my cloud")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "argv", [str(data.path.parent / ".venv/bin/stratuslab"), "up"])
    assert typed("down", data) == ".venv/bin/stratuslab down"
    assert typed("down", other) == ".venv/bin/stratuslab down --data 'my cloud'"
    monkeypatch.setattr(sys, "argv", ["/usr/lib/stratuslab/cloud/__main__.py", "up"])
    assert typed("down", data) == "stratuslab down"


def test_a_guest_is_shown_by_its_own_words_and_how_to_reach_it(data: DataFolder) -> None:
    addresses = [{"ip": "10.0.2.15", "sshHost": "127.0.0.1", "sshPort": 22001}]
    banner = "STRATUSLAB READY name=first\r\n\r\nWelcome"
    shown = ShownGuest({"id": URI, "addresses": addresses}, banner, 4.25)
    screen = guest_screen(shown, data, PLAIN, simulated=False)
    assert "    | STRATUSLAB READY name=first\n    | Welcome\n" in screen
    assert "after 4.2 s" in screen
    assert "log in     ssh -i data/secrets/ssh-key -p 22001 stratus@127.0.0.1" in screen
    assert f'curl -u "$LOGIN" -X POST {URI}/stop' in screen
    assert "ssh" not in guest_screen(shown, data, PLAIN, simulated=True)
