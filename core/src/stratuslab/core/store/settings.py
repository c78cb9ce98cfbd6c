"""The settings of the store process, section `[store]`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from stratuslab.core.settings import Setting, Settings


class StoreSettings(Settings, frozen=True, kw_only=True):
    """How much of the past the store keeps."""

    section: ClassVar[str] = "store"

    kept_changes: Annotated[
        int,
        Setting(
            "Lines of the change log kept for those who follow it; unpublished events stay.",
            minimum=1000,
        ),
    ] = 100_000
    kept_changes_seconds: Annotated[
        float, Setting("Age above which lines of the change log are removed.", minimum=60)
    ] = 7 * 24 * 3600.0
