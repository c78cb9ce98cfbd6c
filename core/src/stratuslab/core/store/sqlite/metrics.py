"""What the SQLite store counts, in its owner and in the processes that write through it."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

COMMIT_SECONDS = Histogram(
    "stratuslab_store_commit_seconds",
    "Time the owner took for one commit",
    buckets=(0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
)
REQUESTS = Counter(
    "stratuslab_store_requests", "Write requests the owner has answered", ["outcome"]
)
DONE, FAILED = REQUESTS.labels("done"), REQUESTS.labels("failed")
CONNECTIONS = Counter("stratuslab_store_connections", "Connections made to the store's owner")
AMBIGUOUS = Counter(
    "stratuslab_store_ambiguous_writes",
    "Writes whose answer was lost, by whether they were found done",
    ["found"],
)
