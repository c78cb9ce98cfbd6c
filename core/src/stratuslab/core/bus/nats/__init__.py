"""The bus over NATS. nats-py is imported nowhere else."""

from stratuslab.core.bus.nats.adapter import NatsBus
from stratuslab.core.bus.nats.streams import StreamLimits

__all__ = ["NatsBus", "StreamLimits"]
