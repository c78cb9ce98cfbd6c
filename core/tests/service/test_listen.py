"""Addresses to listen on, and sockets that are in the way."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from aiohttp import web

from stratuslab.core.errors import ConfigurationError
from stratuslab.core.service.handlers import serve
from stratuslab.core.service.listen import ListenAddress


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8400", ListenAddress("127.0.0.1", 8400)),
        ("[::1]:0", ListenAddress("::1", 0)),
        ("localhost:1", ListenAddress("localhost", 1)),
        ("unix:/run/x.sock", ListenAddress(path=Path("/run/x.sock"))),
    ],
)
def test_addresses_are_read(text: str, address: ListenAddress) -> None:
    assert ListenAddress.parse(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "8400", ":8400", "host:", "host:x", "h:70000", "h:-1", "h:²", "unix:", "unix:x.sock"],
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1:8400"):
        ListenAddress.parse(text)


def test_a_socket_path_beyond_the_kernels_limit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="longer than 107 bytes"):
        ListenAddress.parse("unix:/" + "ü" * 54)
    assert ListenAddress.parse("unix:/" + "x" * 106).path is not None


async def test_a_socket_that_a_killed_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with serve(web.Application(), f"unix:{path}") as address:
        assert address == f"unix:{path}"


async def test_a_socket_that_lives_and_a_file_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    async with serve(web.Application(), f"unix:{path}"):
        with pytest.raises(ConfigurationError, match="another process does"):
            async with serve(web.Application(), f"unix:{path}"):
                raise AssertionError("never comes here")
        assert path.exists()
    file = tmp_path / "precious"
    file.write_text("precious")
    with pytest.raises(ConfigurationError, match="a file and no socket"):
        async with serve(web.Application(), f"unix:{file}"):
            raise AssertionError("never comes here")
    assert file.read_text() == "precious"
