"""Stops everything a libvirt instance runs: for the end of private instances and of tests."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

from stratuslab.core.errors import Unavailable
from stratuslab.vm_controller.drivers.libvirt.binding import libvirt
from stratuslab.vm_controller.drivers.libvirt.event_loop import ensure_event_loop

POLL_SECONDS = 0.1


async def stop_all_guests(uri: str, grace_seconds: float = 0.0) -> None:
    """Stop all guests and networks of the instance at `uri`; their definitions stay.

    With `grace_seconds` the guests get the power button first. Raises Unavailable when the
    instance does not answer or a guest does not end.
    """
    try:
        await asyncio.to_thread(_stop_all, uri, grace_seconds)
    except libvirt.libvirtError as error:
        raise Unavailable(f"Not all guests of {uri} could be stopped: {error}.") from error


def _stop_all(uri: str, grace_seconds: float) -> None:
    ensure_event_loop()
    connection = libvirt.open(uri)
    try:
        if grace_seconds > 0:
            _press_power_buttons(connection, grace_seconds)
        for domain in _active(connection):
            with suppress(libvirt.libvirtError):  # it may have ended by itself
                domain.destroy()
        for network in connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE):
            network.destroy()
        if left := [domain.name() for domain in _active(connection)]:
            raise Unavailable(f"These guests of {uri} do not end: {', '.join(left)}.")
    finally:
        connection.close()


def _press_power_buttons(connection: Any, grace_seconds: float) -> None:
    for domain in _active(connection):
        with suppress(libvirt.libvirtError):
            domain.shutdown()
    deadline = time.monotonic() + grace_seconds
    while _active(connection) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _active(connection: Any) -> list[Any]:
    domains: list[Any] = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
    return domains
