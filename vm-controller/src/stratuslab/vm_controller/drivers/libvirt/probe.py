"""Whether this host's processor can run guests itself, or QEMU must emulate one."""

from __future__ import annotations

import os
from pathlib import Path

from stratuslab.core.errors import ConfigurationError

KVM = "kvm"
EMULATION = "qemu"
VIRTUALISATION_FLAGS = frozenset({"vmx", "svm"})


def domain_type(
    wanted: str = "auto",
    *,
    kvm_device: Path = Path("/dev/kvm"),
    cpu_info: Path = Path("/proc/cpuinfo"),
) -> str:
    """`kvm` or `qemu`, as libvirt's domain type. `wanted` other than `auto` is taken as it is.

    `/dev/kvm` alone proves nothing: there are software back ends behind it that cannot boot an
    ordinary guest. The processor must show Intel's or AMD's virtualisation flag as well.
    """
    if wanted in (KVM, EMULATION):
        return wanted
    if wanted != "auto":
        raise ConfigurationError(
            f"There is no domain type {wanted!r}.", hint="Possible are auto, kvm and qemu."
        )
    usable = _opens(kvm_device) and bool(_cpu_flags(cpu_info) & VIRTUALISATION_FLAGS)
    return KVM if usable else EMULATION


def _opens(device: Path) -> bool:
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _cpu_flags(cpu_info: Path) -> frozenset[str]:
    try:
        lines = cpu_info.read_text().splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()
