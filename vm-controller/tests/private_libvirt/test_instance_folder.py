"""The folder of a private libvirt: marked, repeatable, and told when it cannot work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stratuslab.core.errors import ConfigurationError
from stratuslab.vm_controller.host_boot import host_boot_id, process_start_ticks
from stratuslab.vm_controller.private_libvirt.instance_folder import (
    LONGEST_SESSION_SOCKET,
    LONGEST_SOCKET_PATH,
    InstanceFolder,
)


def test_a_prepared_folder_is_marked_as_private(tmp_path: Path) -> None:
    folder = InstanceFolder(tmp_path / "i", system=True)
    folder.prepare()
    assert "private libvirt instance" in (tmp_path / "i/PRIVATE").read_text()
    assert 'security_driver = "none"' in (tmp_path / "i/etc/qemu.conf").read_text()


def test_preparing_again_changes_nothing(tmp_path: Path) -> None:
    folder = InstanceFolder(tmp_path / "i", system=True)
    folder.prepare()
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "i").rglob("*")}
    boot_id = folder.boot_id()
    folder.prepare()
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "i").rglob("*")} == before
    assert folder.boot_id() == boot_id


def test_a_new_boot_of_the_host_is_a_new_boot_of_the_instance(tmp_path: Path) -> None:
    folder = InstanceFolder(tmp_path / "i", system=True)
    folder.prepare()
    (tmp_path / "i/boot-id").write_text("an-earlier-boot/12345678\n")
    folder.prepare()
    assert folder.boot_id().startswith(host_boot_id())


def test_a_long_path_gets_a_short_link(tmp_path: Path) -> None:
    folder = InstanceFolder(tmp_path / ("long" * 20) / "i", system=False)
    assert len(os.fsencode(folder.near)) + len(LONGEST_SESSION_SOCKET) <= LONGEST_SOCKET_PATH
    folder.prepare()
    try:
        folder.prepare()
        assert folder.near.resolve() == folder.path
        assert (folder.near / "PRIVATE").exists()
    finally:
        folder.forget_near()
    assert not folder.near.is_symlink()


def test_a_short_link_of_somebody_else_is_not_followed(tmp_path: Path) -> None:
    folder = InstanceFolder(tmp_path / ("long" * 20) / "i", system=False)
    folder.near.symlink_to(tmp_path)
    try:
        with pytest.raises(ConfigurationError, match="something else is there"):
            folder.prepare()
    finally:
        folder.near.unlink()


def test_a_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be prepared"):
        InstanceFolder(tmp_path / "file/i", system=True).prepare()


def test_the_start_of_a_process_is_known_and_of_a_gone_one_not() -> None:
    assert (process_start_ticks(os.getpid()) or 0) > 0
    assert process_start_ticks(2**22 + 1) is None
