"""A cloud whose supervisor stays in the background: started by a command that then returns."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from stratuslab.cloud import status
from stratuslab.cloud.bounded_log import last_line
from stratuslab.cloud.layout import DataFolder
from stratuslab.cloud.status import CloudStatus
from stratuslab.core.errors import ConfigurationError, Unavailable

UP_SECONDS = 90.0
LOOK_SECONDS = 0.03


def start_in_background(
    data: DataFolder, arguments: Sequence[str], progress: Callable[[list[str]], None]
) -> CloudStatus:
    """Starts `stratuslab ARGUMENTS` in a session of its own; returns once its cloud is up.

    `progress` gets the names of the processes that are not ready yet.
    Raises ConfigurationError with the supervisor's last words when it gives up, Unavailable when
    it is not up in time; it is stopped then.
    """
    data.prepare()
    with data.supervisor_log.open("ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "stratuslab.cloud", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    end = time.monotonic() + UP_SECONDS
    try:
        while time.monotonic() < end:
            known = status.read(data)
            if known is not None and known.pid == supervisor.pid:
                if known.state == "running":
                    return known
                progress([each.name for each in known.processes if not each.ready])
            if supervisor.poll() is not None:
                raise _gave_up(data)
            time.sleep(LOOK_SECONDS)
    except BaseException:
        supervisor.terminate()
        supervisor.wait()
        raise
    supervisor.terminate()
    supervisor.wait()
    raise Unavailable(
        f"The cloud was not up within {UP_SECONDS:g} s.", hint=f"The logs are in {data.logs}."
    )


def _gave_up(data: DataFolder) -> ConfigurationError:
    words = last_line(data.supervisor_log).removeprefix("stratuslab: ")
    return ConfigurationError(words or f"It did not start; see {data.supervisor_log}.")
