"""HTTP load by wrk: one thread, 32 connections, loopback only."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_LATENCY = re.compile(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s)$", re.MULTILINE)
_BAD = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Load:
    """What wrk measured."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float


def load(
    url: str,
    *,
    seconds: float,
    authorization: str | None = None,
    body: bytes | None = None,
    connections: int = 32,
) -> Load:
    """Requests as fast as they are answered. Raises RuntimeError when some were refused."""
    assert url.startswith("http://127.0.0.1:")
    program = shutil.which("wrk")
    if program is None:
        raise RuntimeError("wrk is missing; `make install` installs it")
    command = [program, "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency"]
    if authorization is not None:
        command += ["-H", f"Authorization: {authorization}"]
    with tempfile.TemporaryDirectory() as folder:
        if body is not None:
            script = Path(folder) / "post.lua"
            script.write_text(
                'wrk.method = "POST"\n'
                f"wrk.body = {lua_string(body)}\n"
                'wrk.headers["Content-Type"] = "application/json"\n'
            )
            command += ["-s", str(script)]
        done = subprocess.run(
            [*command, url], capture_output=True, text=True, check=True, timeout=seconds + 30
        )
    bad = _BAD.search(done.stdout)
    if bad is not None:
        raise RuntimeError(f"{bad[1]} requests to {url} were refused")
    latency = {
        percentile: float(value) * _MILLISECONDS[unit]
        for percentile, value, unit in _LATENCY.findall(done.stdout)
    }
    rate = _RATE.search(done.stdout)
    assert rate is not None, done.stdout
    return Load(float(rate[1]), latency["50"], latency["99"])


def lua_string(text: bytes) -> str:
    """The bytes as a Lua string literal."""
    return '"' + "".join(f"\\{byte:03d}" for byte in text) + '"'
