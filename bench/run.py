"""`python -m bench.run`: every figure of the cloud beside its floor from the same run.

Prints a table and, with BENCH_JSON=file, writes the numbers as JSON. Loopback only; every load
is bounded in time or number.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import creation, http, libvirt_rows
from bench.cloud import BenchCloud
from bench.processes import pss_mib


async def main() -> None:
    """All rows, one after the other."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="sl-bench-") as folder:
        async with BenchCloud(Path(folder) / "data") as cloud:
            idle = {name: round(pss_mib(pid), 1) for name, pid in cloud.pids().items()}
            rows += await creation.rows(cloud)
            rows += await http.rows(cloud)
            busy = {name: round(pss_mib(pid), 1) for name, pid in cloud.pids().items()}
        rows += await libvirt_rows.rows(Path(folder))
    report = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, {platform.platform()}",
        "python": platform.python_version(),
        "rows": rows,
        "pssIdleMib": idle,
        "pssAfterMib": busy,
    }
    show(report)
    target = os.environ.get("BENCH_JSON")
    if target:
        Path(target).write_text(json.dumps(report, indent=2) + "\n")


def show(report: dict[str, Any]) -> None:
    """The table for people."""
    print(f"\n{report['when']}  {report['machine']}  Python {report['python']}\n")
    print(f"{'':34}{'cloud':>12}{'floor':>12}{'ratio':>9}{'p50 ms':>9}{'p99 ms':>9}  notes")
    for row in report["rows"]:
        floor = f"{row['floor']:>12,.0f}" if row.get("floor") else f"{'':>12}"
        ratio = f"{row['value'] / row['floor']:>8.0%} " if row.get("floor") else f"{'':>9}"
        print(
            f"{row['name']:<34}{row['value']:>12,.1f}{floor}{ratio}"
            f"{row.get('p50_ms', 0):>9.2f}{row.get('p99_ms', 0):>9.2f}  {row.get('notes', '')}"
        )
    for word, key in (("idle", "pssIdleMib"), ("after the load", "pssAfterMib")):
        sizes = ", ".join(f"{name} {size:g}" for name, size in report[key].items())
        print(f"PSS {word}, MiB: {sizes}; together {sum(report[key].values()):.0f}")


if __name__ == "__main__":
    asyncio.run(main())
