"""`stratuslab down`: stops the cloud of a data folder."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time

from stratuslab.cloud import status as status_file
from stratuslab.cloud.commands.common import add_data, data_folder
from stratuslab.cloud.supervisor import end_leftovers
from stratuslab.core.errors import StratusLabError

DOWN_SECONDS = 75.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_data(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; no cloud running is success."""
    data = data_folder(arguments)
    known = status_file.read(data)
    if known is None:
        print(f"No cloud runs in {data.path}.")
        return 0
    if status_file.is_supervised(data):
        os.kill(known.pid, signal.SIGTERM)
        end = time.monotonic() + DOWN_SECONDS
        while status_file.is_supervised(data):
            if time.monotonic() > end:
                raise StratusLabError(
                    f"The supervisor (pid {known.pid}) did not stop in {DOWN_SECONDS:g} s.",
                    hint=f"Its log is {data.logs / 'supervisor.log'}.",
                )
            time.sleep(0.05)
    asyncio.run(end_leftovers(data))
    print("The cloud is down.")
    return 0
