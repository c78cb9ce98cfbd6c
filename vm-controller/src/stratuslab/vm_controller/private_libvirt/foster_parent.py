"""Starts a daemon of the instance in the background and stays as the parent of its orphans.

Run as a file by `python -I -S foster_parent.py FOLDER|- LOG PROGRAM ARGUMENT...`; prints the
daemon's pid. What the daemon says before it knows its own log goes to the file LOG. This must
import nothing but the standard library.

With a FOLDER (root only) the daemon sees the instance's folders as the system's libvirt
folders: a libvirtd of root always uses `/etc/libvirt`, `/var/lib/libvirt` and so on, and in a
mount namespace of its own those are the instance's.

QEMU detaches itself from libvirtd, which then waits for its pid to vanish. A process only
vanishes when its parent collects it; process 1 may do that late, in a container perhaps never.
So this process adopts what is orphaned below it and collects at once, as long as anything is
left. When it is killed, all of that goes to process 1 and works on.
"""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PR_SET_CHILD_SUBREAPER = 36

SYSTEM_FOLDERS = {
    "etc": "/etc/libvirt",
    "var": "/var/lib/libvirt",
    "run": "/run/libvirt",
    "log": "/var/log/libvirt",
    "cache": "/var/cache/libvirt",
}
"""Folder of the instance → where libvirtd looks for it."""


def enter_namespace(libc: ctypes.CDLL, folder: str) -> None:
    """Leave the host's mount namespace and bind the instance's folders over the system's."""
    for target in SYSTEM_FOLDERS.values():
        Path(target).mkdir(parents=True, exist_ok=True)
    check(libc.unshare(CLONE_NEWNS), "unshare")
    check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "make / private")
    for name, target in SYSTEM_FOLDERS.items():
        source = os.fsencode(Path(folder, name))
        check(libc.mount(source, target.encode(), None, MS_BIND, None), f"bind {target}")


def foster(libc: ctypes.CDLL, log: str, command: list[str]) -> None:
    """Start the daemon, tell its pid, and collect everything that ends below this process."""
    os.setsid()
    check(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "adopt orphans")
    with Path(log).open("ab") as file:
        daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    os.write(1, f"{daemon.pid}\n".encode())
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    try:
        while True:
            os.wait()
    except ChildProcessError:
        os._exit(0)


def check(result: int, what: str) -> None:
    """Raise OSError when a C function failed."""
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def main(folder: str, log: str, *command: str) -> None:
    """Detach from the caller, then foster the daemon."""
    libc = ctypes.CDLL(None, use_errno=True)
    if folder != "-":
        enter_namespace(libc, folder)
    if os.fork() == 0:
        foster(libc, log, list(command))


if __name__ == "__main__":
    main(*sys.argv[1:])
