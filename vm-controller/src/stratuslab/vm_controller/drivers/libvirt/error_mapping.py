"""libvirt's errors told in the words of the hypervisor port: one table."""

from __future__ import annotations

from functools import cache
from typing import Any

from stratuslab.core.errors import StratusLabError
from stratuslab.vm_controller.drivers.base import (
    DomainNotFound,
    DomainRejected,
    HypervisorUnavailable,
)
from stratuslab.vm_controller.drivers.libvirt.binding import libvirt

SHORT_OF_RESOURCES = (
    "Cannot allocate memory",
    "No space left on device",
    "Could not set up host forwarding rule",
    "Resource temporarily unavailable",
    "Too many open files",
)
"""Said by a QEMU that could not start now but may start later."""

QEMU_ENDED = ("process exited while connecting to monitor", "unexpectedly closed the monitor")


@cache
def _refusals() -> frozenset[int]:
    """Codes with which libvirt or QEMU refuses a domain as it is described."""
    return frozenset(
        {
            libvirt.VIR_ERR_XML_ERROR,
            libvirt.VIR_ERR_XML_DETAIL,
            libvirt.VIR_ERR_XML_INVALID_SCHEMA,
            libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
            libvirt.VIR_ERR_INVALID_ARG,
            libvirt.VIR_ERR_NO_SUPPORT,
            libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
            libvirt.VIR_ERR_OPERATION_FAILED,
            libvirt.VIR_ERR_DOM_EXIST,
            libvirt.VIR_ERR_NO_NETWORK,
            libvirt.VIR_ERR_OS_TYPE,
            libvirt.VIR_ERR_ACCESS_DENIED,
        }
    )


def connection_lost(error: Exception) -> bool:
    """Whether the connection, not the call, is what failed."""
    if error.get_error_domain() == libvirt.VIR_FROM_RPC:  # type: ignore[attr-defined]
        return True
    return error.get_error_code() in (  # type: ignore[attr-defined]
        libvirt.VIR_ERR_INVALID_CONN,
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_RPC,
    )


def translated(error: Any, what: str) -> StratusLabError:
    """The port's error for a `libvirtError` raised while doing `what`."""
    code = error.get_error_code()
    said = error.get_error_message() or str(error)
    if code == libvirt.VIR_ERR_NO_DOMAIN:
        return DomainNotFound(f"{what}: there is no such domain.", said=said)
    if connection_lost(error):
        return HypervisorUnavailable(
            f"{what}: libvirt cannot be reached: {said}.",
            hint="Check that libvirtd runs; machines go on running meanwhile.",
        )
    if any(sign in said for sign in SHORT_OF_RESOURCES):
        return HypervisorUnavailable(
            f"{what}: the host is short of something: {said}.",
            hint="It is tried again; free memory, disk space or ports on this host.",
        )
    if code in _refusals() or _qemu_ended_at_start(error) or _file_missing(error):
        return DomainRejected(
            f"{what}: libvirt refuses the domain: {said}.",
            hint="Asking again changes nothing: the description or a file it names must change.",
        )
    return HypervisorUnavailable(f"{what}: libvirt could not do it now: {said}.")


def _qemu_ended_at_start(error: Any) -> bool:
    said = error.get_error_message() or ""
    return error.get_error_code() == libvirt.VIR_ERR_INTERNAL_ERROR and any(
        sign in said for sign in QEMU_ENDED
    )


def _file_missing(error: Any) -> bool:
    said = error.get_error_message() or ""
    return error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR and (
        "No such file or directory" in said or "Cannot access storage file" in said
    )
