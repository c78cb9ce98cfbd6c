"""NoCloud seeds: what is in them, who may read them, when they are written."""

from __future__ import annotations

import io
import os
from pathlib import Path
from uuid import uuid4

import pycdlib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratuslab.core.contracts.machine import GuestLogin
from stratuslab.vm_controller.drivers.base import DomainDisk, DomainRejected
from stratuslab.vm_controller.drivers.seed import (
    MAX_USER_DATA_BYTES,
    NoCloudSeeds,
    cloud_config,
    meta_data,
)

ALICE = GuestLogin(user_name="alice", public_key="ssh-ed25519 AAAA alice@example.org\n")


@pytest.fixture
def seeds(tmp_path: Path) -> NoCloudSeeds:
    return NoCloudSeeds(tmp_path)


@pytest.fixture
def id() -> str:
    return str(uuid4())


def content(disk: DomainDisk, name: str) -> bytes:
    iso = pycdlib.PyCdlib()
    iso.open(str(disk.path))
    found = io.BytesIO()
    iso.get_file_from_iso_fp(found, rr_path=f"/{name}")
    iso.close()
    return found.getvalue()


async def test_a_seed_is_a_private_read_only_disk_labelled_cidata(
    seeds: NoCloudSeeds, id: str
) -> None:
    disk = await seeds.prepare(id, host_name="web", login=ALICE, user_data=None)
    assert disk.read_only
    assert disk.path.stat().st_mode & 0o777 == 0o600
    assert disk.path.read_bytes()[16 * 2048 + 40 :].startswith(b"cidata ")
    assert content(disk, "meta-data") == meta_data(id, "web", ALICE)
    assert content(disk, "user-data") == cloud_config(ALICE)


async def test_user_data_is_passed_on_byte_by_byte(seeds: NoCloudSeeds, id: str) -> None:
    script = b"#!/bin/sh\necho \xff\x00 hello\r\n"
    disk = await seeds.prepare(id, host_name="web", login=None, user_data=script)
    assert content(disk, "user-data") == script


async def test_a_seed_is_written_only_when_its_content_changes(
    seeds: NoCloudSeeds, id: str
) -> None:
    first = await seeds.prepare(id, host_name="web", login=ALICE, user_data=None)
    inode = first.path.stat().st_ino
    await seeds.prepare(id, host_name="web", login=ALICE, user_data=None)
    assert first.path.stat().st_ino == inode
    changed = await seeds.prepare(id, host_name="db", login=ALICE, user_data=None)
    assert b'local-hostname: "db"' in content(changed, "meta-data")


async def test_a_damaged_seed_is_written_again(seeds: NoCloudSeeds, id: str) -> None:
    disk = await seeds.prepare(id, host_name="web", login=ALICE, user_data=None)
    os.truncate(disk.path, 100)
    await seeds.prepare(id, host_name="web", login=ALICE, user_data=None)
    assert content(disk, "user-data") == cloud_config(ALICE)


async def test_too_much_user_data_is_refused(seeds: NoCloudSeeds, id: str) -> None:
    with pytest.raises(DomainRejected, match="at most"):
        await seeds.prepare(
            id, host_name="web", login=None, user_data=bytes(MAX_USER_DATA_BYTES + 1)
        )


async def test_release_removes_the_seed(seeds: NoCloudSeeds, id: str, tmp_path: Path) -> None:
    await seeds.prepare(id, host_name="web", login=ALICE, user_data=None)
    await seeds.release(id)
    await seeds.release(id)
    assert list(tmp_path.iterdir()) == []


def test_without_a_login_nobody_gets_in() -> None:
    assert cloud_config(None) == b"#cloud-config\nssh_pwauth: false\n"
    assert b"public-keys" not in meta_data("id", "web", None)


def test_root_needs_no_sudo() -> None:
    config = cloud_config(GuestLogin(user_name="root", public_key="ssh-rsa AAAA"))
    assert b"disable_root: false" in config
    assert b"sudo" not in config


@given(st.text(), st.text())
def test_no_text_breaks_out_of_its_line(user: str, key: str) -> None:
    login = GuestLogin(user_name=user, public_key=key)
    for line in cloud_config(login).decode().splitlines():
        assert line.strip().split(":")[0] in {
            "#cloud-config", "ssh_pwauth", "disable_root", "users", "- default", "- name",
            "lock_passwd", "shell", "sudo", "ssh_authorized_keys",
        } or line.strip().startswith('- "')  # fmt: skip
