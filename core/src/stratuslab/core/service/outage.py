"""An outage is logged once when it begins and once when it ends, however often one tries."""

from __future__ import annotations

import time
from typing import Any

import structlog

log = structlog.get_logger()


class Outage:
    """Something that can be lost and regained: a connection, a check, a host.

        outage = Outage("libvirt", uri=uri)
        try: …; outage.over()
        except Unavailable as error: outage.lasts(error)

    The log gets `libvirt.lost` and `libvirt.regained`, with what was given here.
    """

    def __init__(self, what: str, **context: Any) -> None:
        self._lost, self._regained = f"{what}.lost", f"{what}.regained"
        self._context = context
        self._began: float | None = None

    @property
    def lasting(self) -> bool:
        """Whether it is lost at present."""
        return self._began is not None

    def lasts(self, error: BaseException | str) -> None:
        """It failed, for the first time or again."""
        if self._began is None:
            self._began = time.monotonic()
            reason = str(error) or type(error).__name__
            log.warning(self._lost, reason=reason, **self._context)

    def over(self) -> None:
        """It worked."""
        if self._began is not None:
            seconds = round(time.monotonic() - self._began, 3)
            self._began = None
            log.info(self._regained, after_seconds=seconds, **self._context)
