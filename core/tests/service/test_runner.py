"""Services as real processes: settings, signals, drain, health, exit status."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from eventually import eventually

Start = Callable[..., Any]


async def _get(url: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        kind = answer.content_type
        return answer.status, await (answer.json() if "json" in kind else answer.text())


async def _running(lamp: Any) -> str:
    """Waits until it waits for its end; the address of its health."""
    address: str = await lamp.address()

    async def runs() -> bool:
        return bool((await _get(f"{address}/readyz"))[1]["phase"] == "running")

    await eventually(runs, what="the service")
    return address


async def test_sigterm_lets_the_body_finish_its_work(lamp: Start) -> None:
    service = lamp("obedient")
    await _running(service)
    service.process.send_signal(signal.SIGTERM)
    assert await service.exit_status() == 0
    assert service.events == [
        "service.started",
        "service.stopping",
        "lamp.finishing",
        "lamp.finished",
        "service.stopped",
    ]
    assert not service.address_file.exists()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_body_that_goes_on_is_cancelled_when_the_drain_time_is_over(
    lamp: Start, loop: str
) -> None:
    service = lamp("stubborn", STRATUSLAB_DRAIN_SECONDS="0.3", STRATUSLAB_LOOP=loop)
    await _running(service)
    service.process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    assert await service.exit_status() == 0
    assert time.monotonic() - begin > 0.25
    assert service.events[-3:] == ["service.drain_expired", "lamp.cancelled", "service.stopped"]


async def test_a_second_signal_cancels_at_once(lamp: Start) -> None:
    service = lamp("stubborn", STRATUSLAB_DRAIN_SECONDS="10")
    await _running(service)
    service.process.send_signal(signal.SIGTERM)
    await eventually(lambda: "service.stopping" in service.events)
    service.process.send_signal(signal.SIGTERM)
    assert await service.exit_status(seconds=5) == 0
    assert service.lines[-3]["event"] == "service.drain_expired"
    assert service.lines[-3]["hurried"] is True


@pytest.mark.parametrize("behaviour", ["deaf", "blocked"])
async def test_what_cannot_be_cancelled_is_ended_with_its_stacks(
    lamp: Start, behaviour: str
) -> None:
    service = lamp(behaviour, STRATUSLAB_DRAIN_SECONDS="0.1")
    await _running(service)
    service.process.send_signal(signal.SIGTERM)
    assert await service.exit_status(seconds=6) == 1
    assert "Timeout (0:00:02.1" in service.output
    assert 'File "' in service.output


async def test_a_service_that_is_not_ready_says_so_and_goes_on(lamp: Start) -> None:
    service = lamp("unready")
    address = await _running(service)
    status, report = await _get(f"{address}/readyz")
    assert (status, report["ready"]) == (503, False)
    check = report["checks"]["bulb"]
    assert (check["ok"], check["error"]) == (False, "The bulb is broken.")
    service.process.stdin.write(b"\n")
    service.process.stdin.flush()

    async def ready() -> bool:
        return (await _get(f"{address}/readyz"))[0] == 200

    await eventually(ready)
    told = [line for line in service.lines if line["event"].startswith("readiness.")]
    assert [line["event"] for line in told] == ["readiness.lost", "readiness.regained"]
    assert {line["check"] for line in told} == {"bulb"}


async def test_health_and_metrics_are_served(lamp: Start) -> None:
    address = await _running(lamp("obedient"))
    status, health = await _get(f"{address}/healthz")
    assert (status, health["status"]) == (200, "alive")
    assert health["loopLagSeconds"] >= 0
    status, report = await _get(f"{address}/readyz")
    assert (status, set(report["checks"])) == (200, {"store", "bus"})
    status, metrics = await _get(f"{address}/metrics")
    assert 'stratuslab_ready{check="store"} 1.0' in metrics
    assert "stratuslab_loop_lag_seconds" in metrics
    assert "process_resident_memory_bytes" in metrics
    assert "_created" not in metrics


async def test_wrong_settings_are_one_line_and_status_2(lamp: Start) -> None:
    service = lamp("obedient", STRATUSLAB_LAMP_BULBS="0", STRATUSLAB_LAMP_BULB="2")
    assert await service.exit_status() == 2
    assert service.output == (
        "lamp: 2 errors in the configuration. The environment variable STRATUSLAB_LAMP_BULB is "
        "unknown. Did you mean STRATUSLAB_LAMP_BULBS? environment variable STRATUSLAB_LAMP_BULBS: "
        "bulbs is '0' and must be at least 1.\n"
    )


async def test_something_missing_on_the_machine_is_one_line_and_status_2(lamp: Start) -> None:
    service = lamp("misplaced")
    assert await service.exit_status() == 2
    assert service.output.splitlines()[-1] == "lamp: There is no lamp post. Build one."


async def test_without_any_store_the_service_refuses_to_start(lamp: Start) -> None:
    service = lamp("obedient", STRATUSLAB_STORE="")
    assert await service.exit_status() == 2
    assert "lamp: No store is known" in service.output.splitlines()[-1]


@pytest.mark.parametrize("taken", ["127.0.0.1:{port}", "unix:{folder}/ops.sock", "nowhere"])
async def test_an_address_that_cannot_be_had_is_one_line_and_status_2(
    lamp: Start, tmp_path: Path, taken: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as port, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "ops.sock"))
        local.listen()
        listen = taken.format(port=port.getsockname()[1], folder=tmp_path)
        service = lamp("obedient", STRATUSLAB_OPS_LISTEN=listen)
        assert await service.exit_status() == 2
    assert service.output.splitlines()[-1].startswith("lamp: ")
    assert listen.removeprefix("unix:") in service.output.splitlines()[-1]


async def test_a_failure_in_the_background_ends_the_service_with_its_traceback(
    lamp: Start,
) -> None:
    service = lamp("failing")
    assert await service.exit_status() == 1
    (line,) = (line for line in service.lines if line["event"] == "service.failed")
    assert line["error"] == "ZeroDivisionError: no bulb"
    assert "short_circuit" in line["exception"]


async def test_an_error_of_our_own_ends_it_without_a_traceback(lamp: Start) -> None:
    service = lamp("given_up")
    assert await service.exit_status() == 1
    line = service.lines[-1]
    assert (line["event"], line["code"]) == ("service.failed", "permanent")
    assert line["error"] == "The lamp is broken. Buy another one."
    assert "exception" not in line


async def test_a_body_that_is_done_ends_the_service(lamp: Start) -> None:
    service = lamp("brief", STRATUSLAB_LAMP_BULBS="3")
    assert await service.exit_status() == 0
    (line,) = (line for line in service.lines if line["event"] == "lamp.flashed")
    assert line["bulbs"] == 3


async def test_systemd_is_told_when_it_runs_and_when_it_stops(lamp: Start, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(20)
        service = lamp("obedient", NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert await asyncio.to_thread(systemd.recv, 100) == b"READY=1"
        service.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(systemd.recv, 100) == b"STOPPING=1"
        assert await service.exit_status() == 0


async def test_a_log_that_cannot_be_written_is_no_reason_to_die(lamp: Start) -> None:
    service = lamp("obedient", log="/dev/full")
    address = await _running(service)
    assert (await _get(f"{address}/readyz"))[0] == 200
    service.process.send_signal(signal.SIGTERM)
    assert await service.exit_status() == 0


async def test_an_idle_service_is_small(lamp: Start) -> None:
    service = lamp("obedient")
    await _running(service)
    rollup = Path(f"/proc/{service.process.pid}/smaps_rollup").read_text().splitlines()
    (pss_kib,) = (int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    assert pss_kib < 60 * 1024
