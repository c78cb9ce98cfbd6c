"""libvirt's own event loop: one daemon thread for the whole process, started once.

libvirt delivers events and keeps connections alive through an event loop of its own. It is
process-wide and cannot be stopped, so it runs in a daemon thread and every callback crosses
over to asyncio by `call_soon_threadsafe`; asyncio loops may come and go beside it.
"""

from __future__ import annotations

import threading
import time

import structlog

from stratuslab.vm_controller.drivers.libvirt.binding import libvirt

log = structlog.get_logger(__name__)

_started = threading.Lock()
_thread: threading.Thread | None = None


def ensure_event_loop() -> None:
    """Start the thread unless it runs; must precede the first connection of the process."""
    global _thread  # noqa: PLW0603
    with _started:
        if _thread is None:
            libvirt.virEventRegisterDefaultImpl()
            libvirt.registerErrorHandler(_say_nothing, None)
            _thread = threading.Thread(target=_run, name="libvirt-events", daemon=True)
            _thread.start()


def _run() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            log.error("libvirt.event_loop_failed", error=str(error))
            time.sleep(0.1)


def _say_nothing(_context: object, _error: object) -> None:
    """libvirt would print every error to standard error; they come as exceptions anyway."""
