"""What every service tells about itself."""

from __future__ import annotations

from prometheus_client import Gauge

LOOP_LAG_SECONDS = Gauge(
    "stratuslab_loop_lag_seconds", "How late the event loop ran a timer, at the last measurement"
)
READY = Gauge(
    "stratuslab_ready", "Whether a thing the service needs is usable (1) or not (0)", ["check"]
)
