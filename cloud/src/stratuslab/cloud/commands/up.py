"""`stratuslab up`: starts a cloud and stays, or leaves it in the background."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Awaitable
from datetime import datetime
from pathlib import Path

from stratuslab.cloud.background import start_in_background
from stratuslab.cloud.commands.common import (
    DEFAULT_PORT,
    add_data,
    data_folder,
    port_number,
    positive_number,
    short,
    typed,
)
from stratuslab.cloud.first_guest import FirstGuest, show_first_guest
from stratuslab.cloud.planning import Wanted
from stratuslab.cloud.screens import cloud_screen, down_line, guest_screen
from stratuslab.cloud.status import CloudStatus
from stratuslab.cloud.supervisor import RunningCloud, cloud
from stratuslab.cloud.terminal import Terminal
from stratuslab.core.errors import StratusLabError

INTERRUPTED = 130


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.set_defaults(refuse=parser.error)
    add_data(parser)
    parser.add_argument(
        "--port", type=port_number, default=DEFAULT_PORT, help="port (default: %(default)s)"
    )
    parser.add_argument(
        "--listen",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address; without TLS only loopback is sensible (default: %(default)s)",
    )
    parser.add_argument(
        "--hypervisor",
        choices=("auto", "libvirt", "simulated"),
        default="auto",
        help="what runs the machines (default: %(default)s)",
    )
    parser.add_argument(
        "--hosts",
        type=positive_number,
        default=1,
        metavar="N",
        help="how many hosts to simulate (default: %(default)s)",
    )
    parser.add_argument("--detach", action="store_true", help="leave it in the background")
    parser.add_argument(
        "--guest", action="store_true", help="start a first machine and show its own banner"
    )
    parser.add_argument(
        "--image",
        type=Path,
        metavar="FILE",
        help="disk image for the first machine (default: the one brought in last)",
    )
    parser.add_argument(
        "--once", action="store_true", help="with --guest: stop after the banner, for scripts"
    )
    parser.add_argument("--background", action="store_true", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command."""
    if arguments.once and not arguments.guest:
        arguments.refuse("--once needs --guest")
    if arguments.once and arguments.detach:
        arguments.refuse("--once and --detach exclude each other")
    if arguments.image is not None and not arguments.image.is_file():
        arguments.refuse(f"there is no image {arguments.image}; `make image` builds a small one")
    terminal = Terminal()
    up = Up(arguments, terminal)
    try:
        return up.in_background() if arguments.detach else asyncio.run(up.in_foreground())
    except BaseExceptionGroup as group:
        raise _first(group) from None
    finally:
        terminal.end_progress()


class Up:
    """One run of the command."""

    def __init__(self, arguments: argparse.Namespace, terminal: Terminal) -> None:
        self._arguments = arguments
        self._terminal = terminal
        self._data = data_folder(arguments)
        self._first_start = not self._data.password_file.exists()

    def in_background(self) -> int:
        """Starts it there; the first machine is waited for here."""
        given = self._arguments
        self._say_start()
        status = start_in_background(
            self._data,
            [
                *("up", "--background", "--data", str(self._data.path)),
                *("--port", str(given.port), "--listen", given.listen),
                *("--hypervisor", given.hypervisor, "--hosts", str(given.hosts)),
            ],
            self._show_waiting,
        )
        self._show_cloud(status)
        code = asyncio.run(self._with_guest(status))
        self._terminal.line(f"`{typed('down', self._data)}` stops it.")
        return code

    async def in_foreground(self) -> int:
        """Runs it until it is told to stop. Raises StratusLabError, perhaps in a group."""
        given = self._arguments
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stopping.set)
        self._say_start()
        wanted = Wanted(
            data=self._data,
            address=given.listen,
            port=given.port,
            hypervisor=given.hypervisor,
            hosts=given.hosts,
        )
        async with cloud(wanted, self._tell) as running:
            try:
                code = await self._until_stopped(running, stopping)
            except StratusLabError as error:
                running.set_state("failed", str(error))
                raise
            finally:
                self._terminal.progress("Stopping …")
        self._terminal.line(down_line(running.status))
        return code

    async def _until_stopped(self, running: RunningCloud, stopping: asyncio.Event) -> int:
        code = await _unless(stopping, self._bring_up(running))
        if code is None:
            self._terminal.line("Interrupted before everything was up.")
            return INTERRUPTED
        if not self._arguments.once:
            how = "Ctrl-C" if self._terminal.interactive else f"`{typed('down', self._data)}`"
            self._terminal.line(f"{how} stops it.")
            await stopping.wait()
        return code

    async def _bring_up(self, running: RunningCloud) -> int:
        await running.until_ready(self._show_waiting)
        running.set_state("running")
        self._show_cloud(running.status)
        return await self._with_guest(running.status)

    async def _with_guest(self, status: CloudStatus) -> int:
        """The exit code. A first machine that does not come up leaves the cloud as it is, to be
        looked at, unless the cloud was started for it alone: then StratusLabError is raised."""
        if not self._arguments.guest:
            return 0
        try:
            await self._show_guest(status)
        except StratusLabError as error:
            if self._arguments.once:
                raise
            self._terminal.line(f"There is no first machine: {error}")
            return 1
        return 0

    async def _show_guest(self, status: CloudStatus) -> None:
        guest = FirstGuest(
            cimi=status.cimi,
            user=status.user,
            password=self._password(),
            data=self._data,
            simulated=status.hypervisor == "simulated",
            image=self._arguments.image,
        )
        shown = await show_first_guest(guest, self._terminal.progress)
        self._terminal.line(
            guest_screen(shown, self._data, self._terminal, simulated=guest.simulated)
        )

    def _show_cloud(self, status: CloudStatus) -> None:
        # A supervisor in the background writes into a log, where passwords have no place.
        show_password = self._first_start and not self._arguments.background
        password = self._password() if show_password else ""
        self._terminal.line(cloud_screen(status, self._data, self._terminal, password=password))

    def _show_waiting(self, names: list[str]) -> None:
        if self._terminal.interactive and names:
            self._terminal.progress(f"Waiting for {', '.join(names)} …")

    def _password(self) -> str:
        return self._data.password_file.read_text().strip()

    def _say_start(self) -> None:
        self._terminal.progress(f"Starting a cloud in {short(self._data.path)} …")

    def _tell(self, text: str) -> None:
        if self._arguments.background:
            text = f"{datetime.now().astimezone().isoformat(timespec='seconds')} {text}"
        self._terminal.line(text)


async def _unless(stopping: asyncio.Event, work: Awaitable[int]) -> int | None:
    """The result of the work; None when the order to stop came first."""
    working = asyncio.ensure_future(work)
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({working, stop}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, stop):
            task.cancel()
        await asyncio.gather(working, stop, return_exceptions=True)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
