"""The frame every service runs in: settings, logs, store, bus, readiness, drain."""

from stratuslab.core.service.frame import Service
from stratuslab.core.service.runner import run

__all__ = ["Service", "run"]
