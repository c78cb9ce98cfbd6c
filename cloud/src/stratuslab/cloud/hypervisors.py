"""Which hypervisor this machine can offer: asks the machine, decides, says why."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec

from stratuslab.core.errors import ConfigurationError

SYSTEM_URI = "qemu:///system"


@dataclass(frozen=True)
class Offer:
    """What was found on this machine."""

    binding: bool
    """libvirt-python can be imported."""
    daemon: bool
    """The program libvirtd is there, so that a private instance can be started."""
    qemu: bool
    system: bool
    """A system libvirt answers."""


@dataclass(frozen=True)
class Choice:
    """What to run machines with. `private`: start a libvirt of the cloud's own."""

    hypervisor: str
    private: bool = False
    guest_network: str = "libvirt"
    why: str = ""


def look() -> Offer:
    """Looks at this machine."""
    binding = find_spec("libvirt") is not None
    return Offer(
        binding=binding,
        daemon=shutil.which("libvirtd", path=_path()) is not None,
        qemu=shutil.which("qemu-system-x86_64") is not None
        and shutil.which("qemu-img") is not None,
        system=binding and _system_answers(),
    )


def choose(wanted: str, offer: Offer, *, root: bool) -> Choice:
    """The hypervisor for `auto`, `libvirt` or `simulated`. Raises ConfigurationError."""
    if wanted == "simulated":
        return Choice("simulated", why="as asked")
    missing = [
        name
        for name, there in (
            ("libvirt-python", offer.binding),
            ("libvirtd", offer.daemon or offer.system),
            ("qemu-system-x86_64 and qemu-img", offer.qemu),
        )
        if not there
    ]
    if not missing:
        if offer.system:
            return Choice("libvirt", why=f"{SYSTEM_URI} answers")
        network = "libvirt" if root and shutil.which("dnsmasq", path=_path()) else "user"
        kind = "of the system's kind" if root else "of the session's kind, as there is no root"
        return Choice(
            "libvirt", private=True, guest_network=network, why=f"a private libvirt {kind}"
        )
    if wanted == "libvirt":
        raise ConfigurationError(
            f"Machines cannot be run with libvirt here: {', '.join(missing)} missing.",
            hint="`stratuslab doctor` names the commands that mend it; "
            "--hypervisor simulated works without.",
        )
    return Choice("simulated", why=f"{', '.join(missing)} missing; see `stratuslab doctor`")


def _system_answers() -> bool:
    virsh = shutil.which("virsh")
    if virsh is None:
        return False
    try:
        done = subprocess.run(
            [virsh, "--connect", SYSTEM_URI, "--quiet", "uri"],
            capture_output=True,
            timeout=5,
            check=False,
            env={**os.environ, "LIBVIRT_AUTOSTART": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
