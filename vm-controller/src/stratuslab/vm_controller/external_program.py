"""Runs a program to its end: argument list, no shell, bounded in time, killed when cancelled."""

from __future__ import annotations

import asyncio
import shutil

from stratuslab.core.errors import Unavailable


class ProgramFailed(Unavailable):
    """An external program ended with an error, or not in time. `said` is its complaint."""

    code = "program-failed"

    def __init__(self, program: str, said: str) -> None:
        super().__init__(f"{program} failed: {said}")
        self.said = said


async def run_program(*command: str, timeout_seconds: float) -> bytes:
    """The program's standard output. Raises ProgramFailed, Unavailable when it is missing."""
    if shutil.which(command[0]) is None:
        raise Unavailable(
            f"The program {command[0]} is not on this machine.",
            hint="Install it; `stratuslab doctor` names the package.",
        )
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            output, errors = await process.communicate()
    except TimeoutError as error:
        raise ProgramFailed(command[0], f"no end within {timeout_seconds:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise ProgramFailed(command[0], errors.decode(errors="replace").strip()[-500:])
    return output
