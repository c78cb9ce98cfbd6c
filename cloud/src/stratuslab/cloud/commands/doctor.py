"""`stratuslab doctor`: what this machine lacks, and the command that mends it."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import msgspec

from stratuslab.cloud import hypervisors
from stratuslab.cloud.commands.common import add_data, data_folder
from stratuslab.cloud.layout import DataFolder
from stratuslab.core.bus.server import find_server
from stratuslab.core.errors import ConfigurationError

LEAST_FREE_GIB = 2
OLDEST_PYTHON = (3, 11)
FOR_GUESTS = frozenset({"libvirt-python", "libvirtd", "qemu"})


class Finding(msgspec.Struct, kw_only=True):
    """One thing that was looked at. `needed`: without it no cloud runs at all."""

    name: str
    ok: bool
    found: str
    needed: bool = False
    mend: str = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_data(parser)
    parser.add_argument("--json", action="store_true", help="for scripts")
    parser.add_argument("--quiet", action="store_true", help="only the exit code")
    parser.add_argument(
        "--need",
        choices=("cloud", "guests"),
        default="cloud",
        help="what must be possible for exit code 0: a cloud at all, or real guests in it",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; exit code 1 when something needed is missing."""
    findings = examine(data_folder(arguments))
    if arguments.quiet:
        pass
    elif arguments.json:
        print(msgspec.json.format(msgspec.json.encode(findings)).decode())
    else:
        for each in findings:
            sign = "ok     " if each.ok else "MISSING" if each.needed else "without"
            print(f"{sign}  {each.name:<24} {each.found}")
            if each.mend and not each.ok:
                print(f"{'':9}{'':24} → {each.mend}")
    guests = arguments.need == "guests"
    lacking = [
        each
        for each in findings
        if not each.ok and (each.needed or (guests and each.name in FOR_GUESTS))
    ]
    return 1 if lacking else 0


def examine(data: DataFolder) -> list[Finding]:
    """Everything worth knowing about this machine."""
    offer = hypervisors.look()
    checks: list[Callable[[], Finding]] = [
        _python,
        _namespace,
        _bus_server,
        lambda: _data(data),
        lambda: _space(data),
        lambda: _tool(
            "libvirt-python", offer.binding, "pip install libvirt-python (make install does it)"
        ),
        lambda: _tool(
            "libvirtd",
            offer.daemon or offer.system,
            "apt-get install libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients",
        ),
        lambda: _tool(
            "qemu", offer.qemu, "apt-get install qemu-system-x86 qemu-utils"
        ),
        lambda: _tool(
            "dnsmasq", shutil.which("dnsmasq", path="/usr/sbin:/usr/bin:/sbin") is not None,
            "apt-get install dnsmasq-base",
        ),
        _kvm,
        _confinement,
    ]  # fmt: skip
    return [check() for check in checks]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        name="Python",
        ok=sys.version_info >= OLDEST_PYTHON,
        found=version,
        needed=True,
        mend="install Python 3.11 or later",
    )


def _namespace() -> Finding:
    """A foreign `stratuslab/__init__.py` hides every service."""
    spec = find_spec("stratuslab")
    foreign = spec is not None and spec.origin is not None
    return Finding(
        name="package namespace",
        ok=not foreign,
        found=f"hidden by {spec.origin}" if foreign and spec else "free",
        needed=True,
        mend="pip uninstall stratuslab-client (an old release owns the name)",
    )


def _bus_server() -> Finding:
    try:
        program = find_server()
    except ConfigurationError as error:
        return Finding(
            name="nats-server", ok=False, found=error.message, needed=True, mend=error.hint
        )
    found = f"{program.version} at {program.path}"
    return Finding(name="nats-server", ok=True, found=found, needed=True)


def _data(data: DataFolder) -> Finding:
    place = data.path
    while not place.exists() and place != place.parent:
        place = place.parent
    writable = os.access(place, os.W_OK)
    return Finding(
        name="data folder",
        ok=writable,
        found=str(data.path),
        needed=True,
        mend="choose a folder of your own with --data",
    )


def _space(data: DataFolder) -> Finding:
    place = data.path
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free / 2**30
    return Finding(
        name="disk space",
        ok=free >= LEAST_FREE_GIB,
        found=f"{free:.1f} GiB free",
        mend="free some space, or choose another disk with --data",
    )


def _tool(name: str, there: bool, mend: str) -> Finding:
    found = "there" if there else "not there; machines can only be simulated"
    return Finding(name=name, ok=there, found=found, mend=mend)


def _kvm() -> Finding:
    """`/dev/kvm` alone proves nothing: without vmx or svm guests do not boot on it."""
    device = os.access("/dev/kvm", os.R_OK | os.W_OK)
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        flags = []
    processor = "vmx" in flags or "svm" in flags
    if device and processor:
        return Finding(name="KVM", ok=True, found="usable")
    missing = "the processor offers none" if not processor else "/dev/kvm is not accessible"
    return Finding(
        name="KVM",
        ok=False,
        found=f"{missing}; guests are emulated, which is slow",
        mend="enable virtualisation in the firmware, or join the group kvm",
    )


def _confinement() -> Finding:
    """The relaxed settings of private instances must not stand in the system's libvirt."""
    try:
        text = Path("/etc/libvirt/qemu.conf").read_text()
    except OSError:
        return Finding(name="confinement", ok=True, found="no system libvirt is configured")
    lines = {line.strip().replace(" ", "") for line in text.splitlines()}
    loose = lines & {'user="root"', 'security_driver="none"', "namespaces=[]"}
    return Finding(
        name="confinement",
        ok=not loose,
        found=f"/etc/libvirt/qemu.conf has {', '.join(sorted(loose))}" if loose else "as shipped",
        mend="remove these lines; they belong into private test instances only",
    )
