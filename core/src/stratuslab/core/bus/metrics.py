"""What the bus counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

CONNECTED = Gauge("stratuslab_bus_connected", "Whether this process is connected to the bus")
CONNECTIONS = Counter("stratuslab_bus_connections", "Connections made to the bus")
ERRORS = Counter("stratuslab_bus_errors", "Errors the bus connection reported", ["kind"])
HINTS_SENT = Counter("stratuslab_bus_hints_sent", "Wake-ups handed to the bus")
HINTS_DROPPED = Counter(
    "stratuslab_bus_hints_dropped", "Wake-ups dropped because a queue was full", ["side"]
)
QUERIES = Counter("stratuslab_bus_queries", "Queries asked, by how they ended", ["outcome"])
ANSWERS = Counter("stratuslab_bus_answers", "Queries answered, by how they ended", ["outcome"])
EVENTS_PUBLISHED = Counter("stratuslab_bus_events_published", "Events stored by the bus")
PUBLISH_RETRIES = Counter(
    "stratuslab_bus_publish_retries", "Attempts to publish an event that were repeated"
)
EVENTS_HANDLED = Counter(
    "stratuslab_bus_events_handled", "Events given to a consumer", ["consumer", "outcome"]
)
