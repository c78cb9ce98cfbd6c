"""One supervised process: started, watched, started again after a pause, stopped."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from stratuslab.cloud.bounded_log import keep_small, last_line
from stratuslab.cloud.processes import Program
from stratuslab.cloud.restarts import Restarts
from stratuslab.cloud.status import ProcessStatus

READY_CHECK_SECONDS = 3.0
FIRST_LOOK_SECONDS = 0.03
LONGEST_LOOK_SECONDS = 1.0
STEADY_LOOK_SECONDS = 2.0
KILLED_SECONDS = 5.0
WRONG_CONFIGURATION = 2
"""The exit status of a service that says its settings, or this machine, are not in order."""


class Child:
    """Keeps one program running: `await run()` in a TaskGroup; `stop()` ends it for good.

    `changed` is called after each change of `status`, `tell` with what an operator should know.
    """

    def __init__(
        self,
        program: Program,
        log_folder: Path,
        session: aiohttp.ClientSession,
        *,
        changed: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        self.program = program
        self.log = log_folder / f"{program.name}.log"
        self.status = ProcessStatus(name=program.name, log=str(self.log))
        self.refused = asyncio.Event()
        """Set when it ended with WRONG_CONFIGURATION before it was ever ready."""
        self._was_ready = False
        self._session = session
        self._changed = changed
        self._tell = tell
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Starts the program again and again until `stop` is called."""
        restarts = Restarts()
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            began = loop.time()
            how = await self._run_once()
            if self._stopping.is_set():
                break
            restarts = restarts.after_run(loop.time() - began)
            pause = restarts.pause_seconds(random.random())  # noqa: S311
            self.status.restarts = restarts.total
            self._set("backing-off")
            self._tell(f"{self.program.name} {how}; starting it again in {pause:.1f} s.")
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
        self._set("stopped")

    async def stop(self, patience_seconds: float) -> None:
        """SIGTERM, then after the patience SIGKILL; returns when the process is gone."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        for number, seconds in (
            (signal.SIGTERM, patience_seconds),
            (signal.SIGKILL, KILLED_SECONDS),
        ):
            with suppress(ProcessLookupError):
                process.send_signal(number)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await process.wait()
                return
            self._tell(f"{self.program.name} did not end in {seconds:g} s.")

    def last_words(self) -> str:
        """The last line of its log, for people."""
        return last_line(self.log)

    async def _run_once(self) -> str:
        """One life of the program; how it ended, for people."""
        if self.program.ops_file is not None:
            self.program.ops_file.unlink(missing_ok=True)
        keep_small(self.log)
        try:
            self._process = process = await self._spawn()
        except OSError as error:
            self.status.last_exit = None
            return f"could not be started ({error.strerror or error})"
        self.status.pid = process.pid
        self.status.since = datetime.now(UTC)
        self._set("running")
        watch = asyncio.create_task(self._watch(), name=f"watch {self.program.name}")
        try:
            self.status.last_exit = await process.wait()
        finally:
            watch.cancel()
            await asyncio.wait({watch})
        self.status.pid = None
        if self.status.last_exit == WRONG_CONFIGURATION and not self._was_ready:
            self.refused.set()
        return described(self.status.last_exit)

    async def _spawn(self) -> asyncio.subprocess.Process:
        with self.log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *self.program.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(self.program.environment),
                # Ctrl-C goes to the supervisor only, which stops all in order.
                start_new_session=True,
            )

    async def _watch(self) -> None:
        """Looks at readiness, quickly at first."""
        pause = FIRST_LOOK_SECONDS
        while True:
            ready = await self._is_ready()
            if ready != self.status.ready:
                self.status.ready = ready
                self._was_ready = self._was_ready or ready
                self._changed()
            pause = STEADY_LOOK_SECONDS if ready else min(pause * 1.3, LONGEST_LOOK_SECONDS)
            await asyncio.sleep(pause)
            keep_small(self.log)

    async def _is_ready(self) -> bool:
        try:
            async with asyncio.timeout(READY_CHECK_SECONDS):
                if self.program.ops_file is not None:
                    self.status.ops_url = self.program.ops_file.read_text().strip()
                    async with self._session.get(f"{self.status.ops_url}/readyz") as answer:
                        return answer.status == 200
                await self._accepts()
        except (OSError, aiohttp.ClientError, ValueError):
            return False
        return True

    async def _accepts(self) -> None:
        """Raises OSError while nobody listens where the program should."""
        program = self.program
        if program.socket is not None:
            _, writer = await asyncio.open_unix_connection(program.socket)
            writer.close()
        if program.port is not None:
            _, writer = await asyncio.open_connection("127.0.0.1", program.port)
            writer.close()

    def _set(self, state: str) -> None:
        self.status.state = state
        if state != "running":
            self.status.ready = False
        self._changed()


def described(status: int) -> str:
    """How a process ended, for people."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
