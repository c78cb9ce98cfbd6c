"""What the front door counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

REQUESTS = Counter(
    "stratuslab_edge_requests", "Requests that came to the front door", ["service", "status"]
)
IN_FLIGHT = Gauge("stratuslab_edge_requests_in_flight", "Requests on their way to a service")
