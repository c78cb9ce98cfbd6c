"""Becomes a program that sees the instance's folders as the system's libvirt folders.

Run as a file by `python -I -S`, as root: `enter_namespace.py FOLDER PROGRAM ARGUMENT...`. A
libvirtd of root always uses `/etc/libvirt`, `/var/lib/libvirt` and so on; in a mount namespace
of its own those are the instance's. It must import nothing but the standard library.
"""

import ctypes
import os
import sys

CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000

SYSTEM_FOLDERS = {
    "etc": "/etc/libvirt",
    "var": "/var/lib/libvirt",
    "run": "/run/libvirt",
    "log": "/var/log/libvirt",
    "cache": "/var/cache/libvirt",
}
"""Folder of the instance → where libvirtd looks for it."""


def enter_namespace(folder: str) -> None:
    """Leave the host's mount namespace and bind the instance's folders over the system's."""
    for target in SYSTEM_FOLDERS.values():
        os.makedirs(target, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(CLONE_NEWNS), "unshare")
    _check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "make / private")
    for name, target in SYSTEM_FOLDERS.items():
        source = os.path.join(folder, name)
        _check(libc.mount(source.encode(), target.encode(), None, MS_BIND, None), f"bind {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    enter_namespace(sys.argv[1])
    os.execvp(sys.argv[2], sys.argv[2:])
