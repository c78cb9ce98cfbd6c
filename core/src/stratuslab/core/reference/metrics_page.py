"""The page of metrics: what `/metrics` of the services tells."""

from __future__ import annotations

from stratuslab.core.reference.discovery import metrics, service_of
from stratuslab.core.reference.markdown import code, table

INTRODUCTION = """# Metrics

Each service serves `/metrics` in the Prometheus text format on its `ops_listen` address. What
`core` declares is told by every service that uses that part of the library; Python's and the
process's own metrics (`python_…`, `process_…`) come with it.

"""


def metrics_page() -> str:
    """The page."""
    rows = [
        (
            code(metric.name),
            metric.type,
            ", ".join(code(label) for label in metric.labels),
            metric.documentation + ".",
            service_of(metric.module),
        )
        for metric in metrics()
    ]
    return INTRODUCTION + table(("Name", "Type", "Labels", "Meaning", "Declared in"), rows)
