"""`stratuslab up`: starts a cloud and stays, or leaves it in the background."""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

from stratuslab.cloud import status as status_file
from stratuslab.cloud.commands.common import add_data, data_folder
from stratuslab.cloud.first_guest import FirstGuest, show_first_guest
from stratuslab.cloud.layout import DataFolder
from stratuslab.cloud.supervisor import Options, RunningCloud, cloud, set_state
from stratuslab.core.errors import ConfigurationError, StratusLabError

DETACHED_SECONDS = 90.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_data(parser)
    parser.add_argument("--port", type=int, default=8400, help="port (default: %(default)s)")
    parser.add_argument(
        "--listen", default="127.0.0.1", metavar="ADDRESS", help="address (default: %(default)s)"
    )
    parser.add_argument(
        "--hypervisor",
        choices=("auto", "libvirt", "simulated"),
        default="auto",
        help="what runs the machines (default: %(default)s)",
    )
    parser.add_argument(
        "--hosts", type=int, default=1, metavar="N", help="how many hosts to simulate"
    )
    parser.add_argument("--detach", action="store_true", help="leave it in the background")
    parser.add_argument(
        "--guest", action="store_true", help="start a first machine and show its banner"
    )
    parser.add_argument(
        "--image", type=Path, metavar="FILE", help="disk image for the first machine (qcow2)"
    )
    parser.add_argument(
        "--once", action="store_true", help="with --guest: stop after the banner, for scripts"
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command."""
    if arguments.hosts < 1 or not 0 < arguments.port < 65536:
        raise ConfigurationError("--hosts must be at least 1 and --port between 1 and 65535.")
    if arguments.detach:
        return _detach(arguments)
    return asyncio.run(_foreground(arguments))


async def _foreground(arguments: argparse.Namespace) -> int:
    data = data_folder(arguments)
    options = Options(
        data=data,
        listen=f"{arguments.listen}:{arguments.port}",
        hypervisor=arguments.hypervisor,
        hosts=arguments.hosts,
    )
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    first_start = not data.password_file.exists()
    say(f"Starting a cloud in {data.path} …")
    try:
        async with cloud(options) as running:
            return await _run(running, data, arguments, stopping, first_start=first_start)
    except BaseExceptionGroup as group:
        raise _first(group) from None


async def _run(
    running: RunningCloud,
    data: DataFolder,
    arguments: argparse.Namespace,
    stopping: asyncio.Event,
    *,
    first_start: bool,
) -> int:
    work = asyncio.create_task(_work(running, data, arguments, first_start=first_start))
    stop = asyncio.create_task(stopping.wait())
    code = 0
    try:
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            code = work.result()
            if not (arguments.guest and arguments.once):
                say(
                    "Ctrl-C stops it."
                    if sys.stdout.isatty()
                    else f"`stratuslab down --data {data.path}` stops it."
                )
                await stop
    except StratusLabError as error:
        set_state(running, data, "failed", str(error))
        raise
    finally:
        for task in (work, stop):
            task.cancel()
        await asyncio.gather(work, stop, return_exceptions=True)
    say("Stopping …")
    return code


async def _work(
    running: RunningCloud, data: DataFolder, arguments: argparse.Namespace, *, first_start: bool
) -> int:
    await running.until_ready()
    set_state(running, data, "running")
    say(screen(running, data, first_start=first_start))
    if arguments.guest:
        guest = FirstGuest(
            cimi=running.status.cimi,
            user=running.status.user,
            password=data.password_file.read_text().strip(),
            data=data,
            simulated=running.choice.hypervisor == "simulated",
            image=arguments.image,
        )
        await show_first_guest(guest, say)
    return 0


def screen(running: RunningCloud, data: DataFolder, *, first_start: bool) -> str:
    """What the operator sees once everything runs."""
    status = running.status
    password = f"   (it is {data.password_file.read_text().strip()})" if first_start else ""
    return f"""
  The cloud is up.

    address    {status.cimi}
    user       {status.user}
    password   in {status.password_file}{password}
    machines   {running.choice.hypervisor}: {running.choice.why}
    logs       {data.logs}

  Try    curl -u "admin:$(cat {status.password_file})" {status.cimi}/machines
         stratuslab status --data {data.path}
"""


def _detach(arguments: argparse.Namespace) -> int:
    """Starts the same command in the background and waits until it is up."""
    data = data_folder(arguments)
    data.prepare()
    if status_file.is_supervised(data):
        raise ConfigurationError(
            f"A cloud already runs in {data.path}.", hint="`stratuslab status` shows it."
        )
    data.status.unlink(missing_ok=True) if not _leftovers(data) else None
    command = [sys.executable, "-m", "stratuslab.cloud", *_without_detach(sys.argv[1:])]
    log_path = data.logs / "supervisor.log"
    with log_path.open("ab") as log:
        begin = log.tell()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    end = time.monotonic() + DETACHED_SECONDS
    while time.monotonic() < end:
        known = status_file.read(data)
        if known is not None and known.pid == process.pid and known.state == "running":
            with log_path.open("rb") as log:
                log.seek(begin)
                print(log.read().decode(errors="replace").rstrip())
            return 0
        if process.poll() is not None:
            break
        time.sleep(0.05)
    with log_path.open("rb") as log:
        log.seek(begin)
        words = log.read().decode(errors="replace").strip().splitlines()
    raise ConfigurationError(words[-1] if words else f"It did not start; see {log_path}.")


def _leftovers(data: DataFolder) -> bool:
    known = status_file.read(data)
    return known is not None and any(status_file.alive(each) for each in known.processes)


def _without_detach(arguments: list[str]) -> list[str]:
    return [each for each in arguments if each != "--detach"]


def say(text: str) -> None:
    """One piece for the operator, at once."""
    print(text, flush=True)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
