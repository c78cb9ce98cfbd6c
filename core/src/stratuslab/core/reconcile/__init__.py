"""Level-triggered control: a queue of keys, workers, and sweeps that find what hints missed."""

from stratuslab.core.reconcile.engine import Reconciler
from stratuslab.core.reconcile.queue import KeyQueue
from stratuslab.core.reconcile.sweep import Sweep, shard_of

__all__ = ["KeyQueue", "Reconciler", "Sweep", "shard_of"]
