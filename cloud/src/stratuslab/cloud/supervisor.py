"""Runs a whole cloud on this machine: prepares the data folder, starts, watches, stops.

Owns the processes and the status file; knows nothing of documents. Only one supervisor can hold
a data folder; processes that a killed one left behind are ended first.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import IO

import aiohttp
import structlog

from stratuslab.cloud import status as status_file
from stratuslab.cloud.child import Child
from stratuslab.cloud.hypervisors import SYSTEM_URI, Choice, choose, look
from stratuslab.cloud.layout import DataFolder
from stratuslab.cloud.processes import SERVICES, CloudPlan, programs
from stratuslab.cloud.status import CloudStatus
from stratuslab.core.bus.credentials import Credentials, read_credentials, write_credentials
from stratuslab.core.bus.server import free_port, prepare
from stratuslab.core.bus.server_config import BusUser, new_user
from stratuslab.core.errors import ConfigurationError
from stratuslab.core.security.vault import create_key_file
from stratuslab.core.service.listen import ListenAddress

log = structlog.get_logger()

READY_SECONDS = 60.0
LEFTOVERS_SECONDS = 10.0


@dataclass(frozen=True)
class Options:
    """What the operator asked for."""

    data: DataFolder
    listen: str
    hypervisor: str = "auto"
    hosts: int = 1


class RunningCloud:
    """A cloud under supervision."""

    def __init__(self, status: CloudStatus, children: list[Child], choice: Choice) -> None:
        self.status = status
        self.children = children
        self.choice = choice

    async def until_ready(self) -> None:
        """Waits until every process is ready. Raises ConfigurationError naming the first that
        says its settings are wrong, or those that are not ready in time."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not all(child.status.ready for child in self.children):
                    for child in self.children:
                        if child.wrong_configuration.is_set():
                            raise ConfigurationError(child.last_words())
                    await asyncio.sleep(0.02)
        except TimeoutError:
            late = [child for child in self.children if not child.status.ready]
            words = "; ".join(f"{child.program.name}: {child.last_words()}" for child in late)
            raise ConfigurationError(
                f"Not ready after {READY_SECONDS:g} s: {words}.",
                hint=f"The logs are in {late[0].log.parent if late else 'the data folder'}.",
            ) from None


@asynccontextmanager
async def cloud(options: Options) -> AsyncIterator[RunningCloud]:
    """A cloud that runs while the context is open. Raises ConfigurationError."""
    data = options.data
    data.prepare()
    async with AsyncExitStack() as stack:
        stack.enter_context(_locked(data))
        await end_leftovers(data)
        plan = await asyncio.to_thread(_plan, options)
        status = CloudStatus(
            url=plan.url,
            cimi=f"{plan.url}/cimi",
            user="admin",
            password_file=str(data.password_file),
            hypervisor=plan.choice.hypervisor,
            data=str(data.path),
            pid=os.getpid(),
        )
        session = await stack.enter_async_context(aiohttp.ClientSession())
        children: list[Child] = []

        def changed() -> None:
            status.processes = [child.status for child in children]
            status_file.write(data, status)

        children.extend(Child(program, data.logs, session, changed) for program in programs(plan))
        async with asyncio.TaskGroup() as tasks:
            for child in children:
                tasks.create_task(child.run(), name=child.program.name)
            running = RunningCloud(status, children, plan.choice)
            try:
                yield running
            finally:
                status.state = "stopping" if status.state != "failed" else "failed"
                changed()
                await _stop(children)
                status.state = "stopped" if status.state != "failed" else "failed"
                changed()


def set_state(running: RunningCloud, data: DataFolder, state: str, message: str = "") -> None:
    """Tells the status file how the cloud as a whole is."""
    running.status.state, running.status.message = state, message
    status_file.write(data, running.status)


async def _stop(children: list[Child]) -> None:
    """Highest stage first: the front door, the services, then what they stand on."""
    for stage in sorted({child.program.stage for child in children}, reverse=True):
        await asyncio.gather(*(child.stop() for child in children if child.program.stage == stage))


def _plan(options: Options) -> CloudPlan:
    data = options.data
    address = ListenAddress.parse(options.listen)
    _require_free(address)
    choice = choose(options.hypervisor, look(), root=os.geteuid() == 0)
    libvirt_uri, boot_id = SYSTEM_URI, ""
    if choice.private:
        from stratuslab.vm_controller.private_libvirt import InstanceFolder

        folder = InstanceFolder(data.libvirt)
        folder.prepare()
        libvirt_uri, boot_id = folder.uri, folder.boot_id()
    create_key_file(data.secrets / "vault.key")
    bus_port = free_port()
    server = prepare(data.nats, _bus_users(data), port=bus_port)
    host = "127.0.0.1" if address.host in {"0.0.0.0", "::"} else address.host  # noqa: S104
    return CloudPlan(
        data=data,
        listen=options.listen,
        url=f"http://[{host}]:{address.port}" if ":" in host else f"http://{host}:{address.port}",
        bus_port=bus_port,
        bus_argv=server.argv,
        choice=choice,
        hosts=options.hosts,
        libvirt_uri=libvirt_uri,
        boot_id=boot_id,
        passed={
            name: value
            for name, value in os.environ.items()
            if name.startswith(("STRATUSLAB_VM_", "STRATUSLAB_CIMI_"))
        },
    )


def _require_free(address: ListenAddress) -> None:
    """Raises ConfigurationError when somebody else listens there."""
    import socket

    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise ConfigurationError(
                f"The address {address.host}:{address.port} cannot be used: {error.strerror}.",
                hint="Another cloud may run there; choose another port with --port.",
            ) from error


def _bus_users(data: DataFolder) -> list[BusUser]:
    """One account for each process and one for the operator; made once, kept in secrets."""
    users: list[BusUser] = []
    for name in (*SERVICES, "operator"):
        path = data.credentials(name)
        if path.exists():
            known = read_credentials(path)
            users.append(BusUser(known.user, known.password))
        else:
            user = new_user(name)
            write_credentials(path, Credentials(user.name, user.password))
            users.append(user)
    return users


class _locked:  # noqa: N801 - used like a function
    """Holds the data folder's lock. Raises ConfigurationError telling who has it."""

    def __init__(self, data: DataFolder) -> None:
        self._data = data
        self._file: IO[str] | None = None

    def __enter__(self) -> None:
        self._file = self._data.lock.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            known = status_file.read(self._data)
            who = f" (pid {known.pid}, {known.url})" if known is not None else ""
            raise ConfigurationError(
                f"A cloud already runs in {self._data.path}{who}.",
                hint="`stratuslab status` shows it, `stratuslab down` ends it; a second cloud "
                "needs another --data and --port.",
            ) from None

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        self._file.close()


async def end_leftovers(data: DataFolder) -> None:
    """Ends processes that a killed supervisor left behind."""
    known = status_file.read(data)
    left = [each for each in known.processes if status_file.alive(each)] if known else []
    if not left:
        return
    log.warning("leftovers.ending", processes=[each.name for each in left])
    for each in left:
        status_file.signal_process(each, signal.SIGTERM)
    end = asyncio.get_running_loop().time() + LEFTOVERS_SECONDS
    while any(status_file.alive(each) for each in left):
        if asyncio.get_running_loop().time() > end:
            for each in left:
                status_file.signal_process(each, signal.SIGKILL)
        await asyncio.sleep(0.05)
