"""What the driver does with libvirt, call by call: blocking, each run in a thread.

Every function takes an open `virConnect`, looks at what is there, and does what is missing.
The mark is written before the act: after a crash in between the mark says what was meant. It
may raise libvirtError; nothing here retries or translates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from stratuslab.vm_controller.drivers.base import (
    Domain,
    DomainMark,
    DomainSpec,
    DomainState,
    HostFacts,
)
from stratuslab.vm_controller.drivers.fencing import refuse_stale
from stratuslab.vm_controller.drivers.libvirt.binding import libvirt
from stratuslab.vm_controller.drivers.libvirt.domain_state import (
    LibvirtState,
    domain_state,
    stop_reason,
)
from stratuslab.vm_controller.drivers.libvirt.domain_xml import (
    MARK_NAMESPACE,
    MARK_PREFIX,
    domain_xml,
    mark_xml,
    read_mark,
)


@dataclass
class Observer:
    """What is needed to tell a domain's state beyond what libvirt says."""

    boot_id: str
    ended_by_host: set[str] = field(default_factory=set)
    """UUIDs of domains whose QEMU was ended by a signal in this process' time."""

    def describe(self, domain: Any) -> Domain:
        """The domain as the port sees it."""
        id = domain.UUIDString()
        state, reason = domain.state()
        mark = _mark(domain)
        found = domain_state(
            state, memory_saved=state == LibvirtState.SHUTOFF and domain.hasManagedSaveImage()
        )
        why = None
        if found is DomainState.STOPPED:
            by_host = id in self.ended_by_host
            why = stop_reason(state, reason, mark, boot_id=self.boot_id, ended_by_host=by_host)
        return Domain(id=id, name=domain.name(), state=found, stop_reason=why, mark=mark)


def list_domains(connection: Any, observer: Observer) -> list[Domain]:
    """All domains; one that vanishes while we look is left out."""
    found = []
    for domain in connection.listAllDomains():
        with _unless(libvirt.VIR_ERR_NO_DOMAIN):
            found.append(observer.describe(domain))
    return found


def find(connection: Any, observer: Observer, id: str) -> Domain | None:
    """The domain with this UUID."""
    with _unless(libvirt.VIR_ERR_NO_DOMAIN):
        return observer.describe(connection.lookupByUUIDString(id))
    return None


def start(connection: Any, observer: Observer, spec: DomainSpec, domain_type: str) -> Domain:
    """Whatever leads to a running domain from where it is."""
    domain = _lookup(connection, spec.id)
    if domain is not None:
        refuse_stale(spec.id, _mark(domain), spec.mark)
    found = None if domain is None else observer.describe(domain).state
    if found is None or found is DomainState.STOPPED:
        observer.ended_by_host.discard(spec.id)
        if domain is not None and domain.isActive():  # crashed and kept: end it first
            domain.destroy()
        spec = msgspec.structs.replace(spec, name=_free_name(connection, spec))
        if domain is not None and domain.name() != spec.name:
            domain.rename(spec.name)
        domain = connection.defineXML(domain_xml(spec, domain_type))
        _already_so(domain.create)
    elif found is DomainState.SUSPENDED:
        _write_mark(domain, spec.mark)
        _already_so(domain.create)
    _write_mark(domain, spec.mark)
    if domain.state()[0] == LibvirtState.PAUSED:
        _already_so(domain.resume)
    return observer.describe(domain)


def pause(connection: Any, observer: Observer, id: str, mark: DomainMark) -> Domain:
    """Stop the processors of a running domain."""
    domain = _ordered(connection, id, mark)
    if observer.describe(domain).state is DomainState.RUNNING:
        _already_so(domain.suspend)
    return observer.describe(domain)


def suspend(connection: Any, observer: Observer, id: str, mark: DomainMark) -> Domain:
    """Save the memory of an active domain; it will run, not be paused, when restored."""
    domain = _ordered(connection, id, mark)
    if domain.isActive():
        _already_so(lambda: domain.managedSave(libvirt.VIR_DOMAIN_SAVE_RUNNING))
    return observer.describe(domain)


def shutdown(connection: Any, observer: Observer, id: str, mark: DomainMark) -> Domain:
    """Press the power button of an active domain."""
    domain = _ordered(connection, id, mark)
    if domain.isActive():
        _already_so(lambda: domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN))
    return observer.describe(domain)


def stop(connection: Any, observer: Observer, id: str, mark: DomainMark) -> Domain:
    """Cut the power and discard saved memory."""
    domain = _ordered(connection, id, mark)
    if domain.isActive():
        _already_so(domain.destroy)
    if domain.hasManagedSaveImage():
        domain.managedSaveRemove()
    return observer.describe(domain)


def write_mark(connection: Any, id: str, mark: DomainMark) -> None:
    """Only the mark."""
    _ordered(connection, id, mark)


def remove(connection: Any, observer: Observer, id: str) -> None:
    """Cut the power and forget everything about the domain."""
    domain = _lookup(connection, id)
    if domain is None:
        return
    with _unless(libvirt.VIR_ERR_NO_DOMAIN):
        if domain.isActive():
            _already_so(domain.destroy)
        domain.undefineFlags(
            libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
        )
    observer.ended_by_host.discard(id)


def definition(connection: Any, id: str) -> str | None:
    """The domain's XML; None when there is no such domain."""
    domain = _lookup(connection, id)
    return None if domain is None else str(domain.XMLDesc())


def leased_address(connection: Any, id: str) -> str | None:
    """The IPv4 address that libvirt's DHCP server leased to the domain's card."""
    domain = _lookup(connection, id)
    if domain is None or not domain.isActive():
        return None
    cards = domain.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE)
    for card in cards.values():
        for address in card["addrs"] or ():
            if address["type"] == libvirt.VIR_IP_ADDR_TYPE_IPV4:
                return str(address["addr"])
    return None


def facts(connection: Any, domain_type: str, boot_id: str) -> HostFacts:
    """What this host offers."""
    arch, memory_mib, cpus, mhz, *_ = connection.getInfo()
    memory = connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)
    return HostFacts(
        hypervisor="libvirt",
        domain_type=domain_type,
        cpu_arch=arch,
        cpu_count=cpus,
        cpu_speed_mhz=mhz,
        memory_kib=memory.get("total", memory_mib * 1024),
        boot_id=boot_id,
    )


def _lookup(connection: Any, id: str) -> Any:
    with _unless(libvirt.VIR_ERR_NO_DOMAIN):
        return connection.lookupByUUIDString(id)
    return None


def _ordered(connection: Any, id: str, mark: DomainMark) -> Any:
    """The domain, after it took the mark of an order that is not stale."""
    domain = connection.lookupByUUIDString(id)
    refuse_stale(id, _mark(domain), mark)
    _write_mark(domain, mark)
    return domain


def _free_name(connection: Any, spec: DomainSpec) -> str:
    """The name, made longer when another domain of this host has it: only the id counts."""
    with _unless(libvirt.VIR_ERR_NO_DOMAIN):
        if connection.lookupByName(spec.name).UUIDString() != spec.id:
            return f"{spec.name}-{spec.id[:8]}"
    return spec.name


def _mark(domain: Any) -> DomainMark | None:
    with _unless(libvirt.VIR_ERR_NO_DOMAIN_METADATA):
        return read_mark(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, MARK_NAMESPACE))
    return None


def _write_mark(domain: Any, mark: DomainMark) -> None:
    """Into the definition, and into the running domain if it runs."""
    if _mark(domain) == mark:
        return
    flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
    if domain.isActive():
        flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
    domain.setMetadata(
        libvirt.VIR_DOMAIN_METADATA_ELEMENT, mark_xml(mark), MARK_PREFIX, MARK_NAMESPACE, flags
    )


def _already_so(act: Callable[[], object]) -> None:
    """Do it, unless the domain got there in the meantime; who called looks again anyway."""
    with _unless(libvirt.VIR_ERR_OPERATION_INVALID):
        act()


class _unless:  # noqa: N801 - reads as the statement it is
    """Swallow the one error that means: it is so already, or it is not there any more."""

    def __init__(self, code: int) -> None:
        self._code = code

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        return isinstance(error, libvirt.libvirtError) and error.get_error_code() == self._code
