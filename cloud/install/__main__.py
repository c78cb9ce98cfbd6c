"""`python3 cloud/install`: everything a fresh Debian or Ubuntu needs to run this checkout.

System packages as far as root can be had, the virtual environment `.venv`, libvirt-python where
it can be built. Says what it does; does nothing a second time. Only the standard library.
"""

from __future__ import annotations

import os
import subprocess
import sys

OLDEST = (3, 11)


def main() -> int:
    """Installs what is missing; 1 when the cloud cannot run with what is there."""
    if sys.version_info < OLDEST:
        return _fail(
            f"Python 3.11 or later is needed; {sys.executable} is {sys.version.split()[0]}.\n"
            "Install one (for example: apt-get install python3.11 python3.11-venv) and run:\n"
            "  make PYTHON=python3.11 install"
        )
    import system_packages
    import virtual_environment

    needless = set()
    if virtual_environment.can_be_made():
        needless.add("virtual environment")
    if virtual_environment.has_headers():
        needless.add("python headers")
    if virtual_environment.has_libvirt():
        needless.update(("libvirt-python", "python headers"))
    system_packages.ensure(needless)
    if not virtual_environment.can_be_made() and not virtual_environment.PYTHON.exists():
        return _fail("This Python cannot make a virtual environment. As root, run:\n"
                     "  apt-get install python3-venv")  # fmt: skip
    try:
        virtual_environment.ensure()
    except subprocess.CalledProcessError as error:
        return _fail(f"pip failed ({error.returncode}); what it said stands above.")
    if not virtual_environment.ensure_libvirt():
        print("Without libvirt-python machines are simulated; "
              "`.venv/bin/stratuslab doctor` tells what to do.")  # fmt: skip
    return 0


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
