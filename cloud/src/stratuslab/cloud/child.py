"""One supervised process: started, watched, started again with growing pauses, stopped."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
import structlog

from stratuslab.cloud.processes import Program
from stratuslab.cloud.status import ProcessStatus, start_time

log = structlog.get_logger()

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
STABLE_SECONDS = 30.0
"""After so long a run the pauses begin anew."""
STOP_SECONDS = 30.0
MOST_LOG_BYTES = 20 * 1024 * 1024


class Child:
    """Keeps one program running. `await run()` in a TaskGroup; `stop()` ends it for good."""

    def __init__(
        self,
        program: Program,
        log_folder: Path,
        session: aiohttp.ClientSession,
        changed: Callable[[], None],
    ) -> None:
        self.program = program
        self.log = log_folder / f"{program.name}.log"
        self.status = ProcessStatus(name=program.name, log=str(self.log))
        self.wrong_configuration = asyncio.Event()
        """Set when the process said that its settings are wrong: trying again is useless."""
        self._session = session
        self._changed = changed
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Starts the program again and again until `stop` is called."""
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            began = asyncio.get_running_loop().time()
            await self._once()
            if self._stopping.is_set():
                break
            if self.status.last_exit == 2 and not self.status.ready:
                self.wrong_configuration.set()
            if asyncio.get_running_loop().time() - began > STABLE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            self.status.restarts += 1
            self._set("backing-off")
            with suppress(TimeoutError):
                async with asyncio.timeout(pause * random.uniform(0.5, 1.0)):  # noqa: S311
                    await self._stopping.wait()
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        self._set("stopped")

    async def stop(self) -> None:
        """SIGTERM, patience, SIGKILL; returns when it is gone."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            log.warning("process.killed", name=self.program.name)
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def last_words(self) -> str:
        """The last line of its log, for people."""
        try:
            lines = self.log.read_bytes()[-2000:].decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""

    async def _once(self) -> None:
        if self.program.ops_file is not None:
            self.program.ops_file.unlink(missing_ok=True)
        self._bound_log()
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self.program.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(self.program.environment),
                start_new_session=True,
            )
        pid = self._process.pid
        self.status.pid, self.status.started = pid, start_time(pid)
        self._set("running")
        watch = asyncio.create_task(self._watch())
        try:
            self.status.last_exit = await self._process.wait()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        if not self._stopping.is_set():
            log.warning("process.ended", name=self.program.name, status=self.status.last_exit)
        self.status.pid = None

    async def _watch(self) -> None:
        """Looks at readiness, quickly at first."""
        pause = 0.03
        while True:
            ready = await self._is_ready()
            if ready != self.status.ready:
                self.status.ready = ready
                self._changed()
            pause = 2.0 if ready else min(pause * 1.3, 1.0)
            await asyncio.sleep(pause)
            self._bound_log()

    async def _is_ready(self) -> bool:
        try:
            if self.program.ops_file is not None:
                self.status.ops_url = self.program.ops_file.read_text().strip()
                timeout = aiohttp.ClientTimeout(total=3)
                url = f"{self.status.ops_url}/readyz"
                async with self._session.get(url, timeout=timeout) as answer:
                    return answer.status == 200
            if self.program.port is not None:
                _, writer = await asyncio.open_connection("127.0.0.1", self.program.port)
                writer.close()
        except (OSError, aiohttp.ClientError, TimeoutError):
            return False
        return True

    def _set(self, state: str) -> None:
        self.status.state = state
        if state != "running":
            self.status.ready = False
        self._changed()

    def _bound_log(self) -> None:
        """Keeps one old log; the process goes on appending to the emptied file."""
        with suppress(OSError):
            if self.log.stat().st_size > MOST_LOG_BYTES:
                self.log.with_suffix(".log.1").write_bytes(self.log.read_bytes())
                os.truncate(self.log, 0)
