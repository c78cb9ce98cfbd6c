"""The credentials file: private, small, and never quoted."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from stratuslab.core.bus.base import Bus
from stratuslab.core.bus.credentials import Credentials, read_credentials, write_credentials
from stratuslab.core.bus.memory import MemoryBus
from stratuslab.core.bus.nats import NatsBus
from stratuslab.core.bus.open import open_bus
from stratuslab.core.errors import ConfigurationError

SECRET = Credentials("vm", "sesame")


def test_what_is_written_is_private_and_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "vm.json"
    write_credentials(file, Credentials("vm", "old"))
    write_credentials(file, SECRET)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_credentials(file) == SECRET
    assert list(tmp_path.iterdir()) == [file]


def test_toml_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "vm.toml"
    file.write_text('user = "vm"\npassword = "sesame"\n')
    file.chmod(0o600)
    assert read_credentials(file) == SECRET


def test_the_password_is_not_shown() -> None:
    assert "sesame" not in repr(SECRET)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "vm.json"
    write_credentials(file, SECRET)
    file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="0640") as caught:
        read_credentials(file)
    assert f"chmod 600 {file}" in caught.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.json cannot be read: No such file"):
        read_credentials(tmp_path / "no.json")


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"user": "vm"}', b'{"user": 1, "password": "sesame"}', b"\xff"]
)
@pytest.mark.parametrize("suffix", ["json", "toml"])
def test_a_file_of_another_kind_is_refused_without_quoting_it(
    tmp_path: Path, content: bytes, suffix: str
) -> None:
    file = tmp_path / f"vm.{suffix}"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match="not understood") as caught:
        read_credentials(file)
    assert "sesame" not in str(caught.value)


async def test_a_bus_is_opened_by_its_url(tmp_path: Path) -> None:
    file = tmp_path / "vm.json"
    write_credentials(file, SECRET)
    opened: Bus = open_bus(
        "nats://127.0.0.1:1, tls://127.0.0.1:2", name="vm", credentials_file=file
    )
    assert isinstance(opened, NatsBus)
    assert isinstance(open_bus("memory:", name="vm"), MemoryBus)


@pytest.mark.parametrize("url", ["", "http://127.0.0.1", "nats://user:sesame@127.0.0.1:4222"])
async def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_bus(url, name="vm")
    assert "sesame" not in str(caught.value)
