"""Which hypervisor this machine can offer: looks at the machine, decides, says why."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from stratuslab.core.errors import ConfigurationError

SYSTEM_URI = "qemu:///system"
ANSWER_SECONDS = 15.0
"""A libvirt that is started by the first connection may take its time."""
_ASK = "import sys, libvirt; libvirt.open(sys.argv[1]).getVersion()"
_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21


@dataclass(frozen=True)
class Offer:
    """What was found on this machine."""

    binding: bool = False
    """libvirt-python can be imported."""
    daemons: bool = False
    """libvirtd and virtlogd are there, so that a private instance can be started."""
    qemu: bool = False
    images: bool = False
    """qemu-img is there."""
    system: bool = False
    """A system libvirt answers."""
    known_user: bool = False
    """This user and its group have names; libvirt needs them."""
    root: bool = False
    namespaces: bool = False
    """Root may make the mount namespace that a private instance of root lives in."""
    bridges: bool = False
    """Root may make bridges, and what serves addresses on them is there."""


@dataclass(frozen=True)
class Choice:
    """What to run machines with. `private`: with a libvirt of the cloud's own."""

    hypervisor: str
    why: str
    private: bool = False
    guest_network: str = "libvirt"
    lacking: tuple[str, ...] = field(default=())
    """Why it is not libvirt."""


def look() -> Offer:
    """Looks at this machine."""
    binding = find_spec("libvirt") is not None
    capabilities = _capabilities()
    root = os.geteuid() == 0
    return Offer(
        binding=binding,
        daemons=found("libvirtd") and found("virtlogd"),
        qemu=found("qemu-system-x86_64"),
        images=found("qemu-img"),
        system=binding and _system_answers(),
        known_user=_is_known_user(),
        root=root,
        namespaces=root and bool(capabilities >> _CAP_SYS_ADMIN & 1),
        bridges=root
        and bool(capabilities >> _CAP_NET_ADMIN & 1)
        and found("dnsmasq")
        and found("iptables"),
    )


def found(program: str) -> bool:
    """Whether the program is on PATH or where programs for root are."""
    return shutil.which(program, path=search_path()) is not None


def search_path() -> str:
    """PATH with the folders that ordinary users' PATH may lack."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def lacking(offer: Offer, *, passable: bool = True) -> tuple[str, ...]:
    """What keeps this machine from running real guests; empty when it can."""
    wanted = [
        ("libvirt-python", offer.binding),
        ("qemu-img", offer.images),
        ("a name for this user and its group", offer.known_user),
    ]
    if not (offer.system and passable):
        wanted += [
            ("libvirtd and virtlogd", offer.daemons),
            ("qemu-system-x86_64", offer.qemu),
            ("the right to make mount namespaces", offer.namespaces or not offer.root),
        ]
    return tuple(name for name, there in wanted if not there)


def choose(wanted: str, offer: Offer, *, passable: bool = True) -> Choice:
    """The hypervisor for `auto`, `libvirt` or `simulated`.

    `passable`: the system's QEMU user can get through to the data folder.
    Raises ConfigurationError when libvirt is wanted and cannot be had.
    """
    if wanted == "simulated":
        return Choice("simulated", "simulated, as asked")
    missing = lacking(offer, passable=passable)
    if missing and wanted == "libvirt":
        raise ConfigurationError(
            f"Machines cannot be run with libvirt here: this machine lacks {', '.join(missing)}.",
            hint="`stratuslab doctor` names the commands that mend it; "
            "--hypervisor simulated works without.",
        )
    if missing:
        why = (
            f"simulated, because of what is missing: {', '.join(missing)}; see `stratuslab doctor`"
        )
        return Choice("simulated", why, lacking=missing)
    if offer.system and passable:
        return Choice("libvirt", f"by the libvirt of this machine, {SYSTEM_URI}")
    if offer.root and offer.bridges:
        return Choice("libvirt", "by a private libvirt, on a network of their own", private=True)
    why = "by a private libvirt, each with a forwarded ssh port"
    return Choice("libvirt", why, private=True, guest_network="user")


def is_passable(folder: Path) -> bool:
    """Whether another user can get through to a folder whose own rights allow it."""
    return all(parent.stat().st_mode & 0o001 for parent in folder.resolve().parents)


def _system_answers() -> bool:
    """Asks in a process of its own: libvirt may block, or want a password from somebody."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _ASK, SYSTEM_URI],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=ANSWER_SECONDS,
            check=False,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _is_known_user() -> bool:
    try:
        pwd.getpwuid(os.geteuid())
        grp.getgrgid(os.getegid())
    except KeyError:
        return False
    return True


def _capabilities() -> int:
    """The effective capabilities of this process, as a bit set."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
