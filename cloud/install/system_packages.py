"""System packages: which are wanted, which are missing, installing those.

Owns reading `packages.txt` and talking to apt. Only missing packages are asked for, nothing is
upgraded or removed, and without root or sudo nothing is done but saying what is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LISTS = (ROOT / "packages.txt", ROOT / "cloud" / "guest-image" / "packages.txt")
IMAGE_GROUP = "guest image"
"""The group of packages in a list without headings."""


def read_groups(text: str) -> dict[str, list[str]]:
    """Packages by group. A group begins with `[name]`; `#` begins a comment."""
    groups: dict[str, list[str]] = {}
    group = IMAGE_GROUP
    for line in text.splitlines():
        word = line.partition("#")[0].strip()
        if word.startswith("["):
            group = word.strip("[]")
        elif word:
            groups.setdefault(group, []).append(word)
    return groups


def wanted(groups: dict[str, list[str]], without: set[str]) -> list[str]:
    """All packages but those of the groups that this machine does not need."""
    return [name for group, names in groups.items() if group not in without for name in names]


def missing(names: list[str]) -> list[str]:
    """Those that are not installed; optional ones only if the distribution has them."""
    bare = [name.rstrip("?") for name in names]
    listed = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *bare],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False,
    )  # fmt: skip
    installed = {
        line.split()[0] for line in listed.stdout.splitlines() if line.endswith(" installed")
    }
    return [
        name.rstrip("?")
        for name in names
        if name.rstrip("?") not in installed and (not name.endswith("?") or known_to_apt(name[:-1]))
    ]


def known_to_apt(name: str) -> bool:
    """Whether the distribution has a package of this name."""
    done = subprocess.run(
        ["apt-cache", "show", "--no-all-versions", name],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return done.returncode == 0


def rights() -> list[str] | None:
    """What to put before a command that needs root; None when root cannot be had."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    if sys.stdin.isatty():
        return ["sudo", "--"]
    quiet = subprocess.run(
        ["sudo", "-n", "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    return ["sudo", "-n", "--"] if quiet.returncode == 0 else None


def install(names: list[str], before: list[str]) -> bool:
    """Installs packages with apt-get; True when all went well."""
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    patient = ["-o", "DPkg::Lock::Timeout=600"]
    subprocess.run([*before, *quiet, "update"], check=False)  # old lists may do as well
    done = subprocess.run(
        [*before, *quiet, *patient, "install", "--yes", "--no-install-recommends", *names],
        stdout=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return done.returncode == 0


def ensure(without: set[str]) -> list[str]:
    """Installs what is missing, saying what it does; returns what is missing still."""
    groups: dict[str, list[str]] = {}
    for file in LISTS:
        groups.update(read_groups(file.read_text()))
    names = wanted(groups, without)
    if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
        print("This is no Debian or Ubuntu. Install what these packages hold, if it is missing:")
        print("  " + " ".join(name.rstrip("?") for name in names))
        return []
    absent = missing(names)
    if not absent:
        return []
    command = "apt-get install --no-install-recommends " + " ".join(absent)
    before = rights()
    if before is None:
        print(f"These system packages are missing, and there is no root to install them:\n"
              f"  {command}\n"
              f"Going on without; machines may have to be simulated.")  # fmt: skip
        return absent
    print("Installing system packages" + (" (sudo may ask for your password):" if before else ":"))
    print(f"  {command}", flush=True)
    if install(absent, before):
        return []
    still = missing(names)
    if still:
        print("apt-get could not install: " + " ".join(still) + ". Going on without.")
    return still
