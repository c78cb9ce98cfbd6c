"""The settings of the store process, section `[store]`."""

from __future__ import annotations

from typing import ClassVar

from stratuslab.core.settings import Settings


class StoreSettings(Settings, frozen=True, kw_only=True):
    """Everything it needs is common."""

    section: ClassVar[str] = "store"
