"""The bus: wake-ups, queries and events. It never holds truth."""

from stratuslab.core.bus.base import Bus, Consumer, Delivery, Message, NoResponders

__all__ = ["Bus", "Consumer", "Delivery", "Message", "NoResponders"]
