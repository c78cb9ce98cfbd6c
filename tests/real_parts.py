"""Whether the real parts that a test needs are on this machine: nats-server, libvirt, QEMU.

A test that cannot have its part is skipped, and the skip says which one is missing and how to
get it. With `STRATUSLAB_REQUIRE_REAL=1`, as in CI, the same is a failure: nothing that should
have been tested is passed over in silence.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterable

import pytest

REQUIRE_REAL = "STRATUSLAB_REQUIRE_REAL"


def require(part: str, missing: str | None) -> None:
    """Go on when `missing` is None or empty; otherwise skip, or fail, naming the part."""
    if not missing:
        return
    message = f"{part} is missing: {missing}"
    if os.environ.get(REQUIRE_REAL) == "1":
        pytest.fail(f"{message} ({REQUIRE_REAL}=1 forbids skipping)", pytrace=False)
    pytest.skip(message)


def missing_programs(programs: Iterable[str], packages: str) -> str | None:
    """What to say when one of the programs is not there."""
    absent = [program for program in programs if shutil.which(program) is None]
    if not absent:
        return None
    return f"no {', '.join(absent)} on PATH; install it: apt-get install {packages}"


def missing_libvirt() -> str | None:
    """What a real hypervisor needs and this machine lacks."""
    if importlib.util.find_spec("libvirt") is None:
        return "libvirt-python is not installed; run: pip install libvirt-python"
    return missing_programs(
        ("libvirtd", "virtlogd", "qemu-system-x86_64", "qemu-img"),
        "libvirt-daemon libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils",
    )


def missing_root_network() -> str | None:
    """What a libvirt network with DHCP needs beyond that."""
    if os.geteuid() != 0:
        return "bridges need root"
    return missing_programs(("dnsmasq", "iptables"), "dnsmasq-base iptables")
