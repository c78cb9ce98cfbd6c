"""What the front counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("stratuslab_cimi_requests", "Requests answered", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "stratuslab_cimi_request_seconds",
    "Time from a request to its answer",
    ["method", "route"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
REQUESTS_IN_FLIGHT = Gauge("stratuslab_cimi_requests_in_flight", "Requests being worked on")
LOGINS_REFUSED = Counter("stratuslab_cimi_logins_refused", "Wrong credentials")
