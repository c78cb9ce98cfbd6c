"""`stratuslab down`: stops the cloud of a data folder, and whatever a killed one left."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from contextlib import suppress

from stratuslab.cloud import status
from stratuslab.cloud.commands.common import add_data, data_folder
from stratuslab.cloud.layout import DataFolder
from stratuslab.cloud.screens import down_line
from stratuslab.cloud.supervisor import stop_leftovers
from stratuslab.core.errors import ConfigurationError, StratusLabError

DOWN_SECONDS = 45.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_data(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; no cloud running is success."""
    data = data_folder(arguments)
    if not data.run.is_dir():
        print(f"There is no cloud in {data.path}.")
        return 0
    supervisor = status.supervisor_of(data)
    if supervisor is not None:
        _stop(data, supervisor)
    left = asyncio.run(stop_leftovers(data))
    if supervisor is None and not left:
        print(f"No cloud runs in {data.path}.")
        return 0
    if supervisor is None:
        _note_stopped(data)
        print(f"Ended what a killed cloud had left running: {', '.join(left)}.")
    print(down_line(status.read(data)))
    return 0


def _stop(data: DataFolder, supervisor: int) -> None:
    try:
        os.kill(supervisor, signal.SIGTERM)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise ConfigurationError(
            f"The cloud in {data.path} belongs to another user.", hint="Stop it as that user."
        ) from error
    end = time.monotonic() + DOWN_SECONDS
    while status.supervisor_of(data) == supervisor:
        if time.monotonic() > end:
            raise StratusLabError(
                f"The supervisor (process {supervisor}) did not stop in {DOWN_SECONDS:g} s.",
                hint=f"Its log is {data.supervisor_log}.",
            )
        time.sleep(0.03)


def _note_stopped(data: DataFolder) -> None:
    known = status.read(data)
    if known is not None:
        known.state, known.message = "stopped", ""
        for process in known.processes:
            process.pid, process.ready, process.state = None, False, "stopped"
        with suppress(OSError):
            status.write(data, known)
