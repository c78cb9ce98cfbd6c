"""The frame every service runs in: settings, logs, store, bus, readiness, drain."""

from stratuslab.core.service.runner import Service, run

__all__ = ["Service", "run"]
