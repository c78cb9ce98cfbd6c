"""The two file trees of the guest: the small one in the initramfs and the root file system.

Everything comes from unpacked packages and from the files beside this recipe.
"""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

from guest_recipe.commands import BuildError, run
from guest_recipe.kernel import Module

# Where a package has a program → where the guest has it.
PROGRAMS = {
    "usr/sbin/dropbear": "usr/sbin/dropbear",
    "usr/bin/dropbearkey": "usr/bin/dropbearkey",
    "usr/lib/openssh/sftp-server": "usr/lib/sftp-server",  # the place compiled into dropbear
}
LOADER = "ld-linux-x86-64.so.2"
LIBRARY_FOLDERS = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"]
SYSTEM_APPLETS = {
    "acpid", "getty", "halt", "hwclock", "ifconfig", "init", "insmod", "ip", "losetup", "lsmod",
    "modprobe", "poweroff", "reboot", "rmmod", "route", "swapoff", "swapon", "switch_root",
    "syslogd", "sysctl", "udhcpc",
}  # fmt: skip
# The applets that would pretend to be a package manager or that only confuse here.
LEFT_OUT_APPLETS = {"dpkg", "dpkg-deb", "rpm", "rpm2cpio", "linuxrc", "run-init", "busybox"}
EMPTY_FOLDERS = {
    "dev": 0o755, "etc/dropbear": 0o700, "home": 0o755, "mnt": 0o755, "proc": 0o755,
    "root": 0o700, "run": 0o755, "sys": 0o755, "tmp": 0o1777, "usr/local/bin": 0o755,
    "var/lib/stratuslab": 0o700, "var/log": 0o755,
}  # fmt: skip


def make_initramfs(
    target: Path, *, recipe: Path, unpacked: Path, modules: list[Module], mtime: int
) -> None:
    """Write a compressed initramfs to `target`: busybox, `initramfs/init`, modules in order."""
    tree = target.with_suffix(".tree")
    for folder in ("bin", "dev", "proc", "sys", "root", "modules"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(_busybox(unpacked), tree / "bin/busybox")
    shutil.copy(recipe / "initramfs/init", tree / "init")
    (tree / "init").chmod(0o755)
    for module in modules:
        (tree / "modules" / f"{module.name}.ko").write_bytes(module.content)
    order = "".join(f"{module.name}.ko\n" for module in modules)
    (tree / "modules/order").write_text(order)
    set_times(tree, mtime)
    names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    archive = run(
        ["cpio", "-o", "-H", "newc", "--reproducible", "--quiet", "--owner=0:0", "-0"],
        stdin="\0".join(names).encode(),
        cwd=tree,
    )
    target.write_bytes(gzip.compress(archive, compresslevel=6, mtime=0))


def make_root(
    tree: Path, *, recipe: Path, unpacked: Path, modules: list[Module], version: str
) -> None:
    """Fill `tree` with the root file system."""
    shutil.copytree(recipe / "guest", tree, dirs_exist_ok=True, copy_function=_copy_with_mode)
    (tree / "etc/shadow").chmod(0o600)
    for path in tree.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)  # the checkout's own modes depend on somebody's umask
    for folder, mode in EMPTY_FOLDERS.items():
        (tree / folder).mkdir(parents=True, exist_ok=True)
        (tree / folder).chmod(mode)
    _install_busybox(tree, unpacked)
    _install_programs(tree, unpacked)
    _install_modules(tree / "lib/modules" / version, modules)


def set_times(tree: Path, mtime: int) -> None:
    """Give every file and folder of `tree` the same time."""
    for path in [*tree.rglob("*"), tree]:
        os.utime(path, (mtime, mtime), follow_symlinks=False)


def _copy_with_mode(source: str, target: str) -> None:
    """Copy with the mode git keeps (executable or not), whatever the umask of the checkout."""
    shutil.copyfile(source, target)
    Path(target).chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def _busybox(unpacked: Path) -> Path:
    for place in ("bin/busybox", "usr/bin/busybox"):
        if (unpacked / place).is_file():
            return unpacked / place
    raise BuildError("package busybox-static holds no busybox")


def _install_busybox(tree: Path, unpacked: Path) -> None:
    for folder in ("bin", "sbin"):
        (tree / folder).mkdir(exist_ok=True)
    shutil.copy(_busybox(unpacked), tree / "bin/busybox")
    applets = run([_busybox(unpacked), "--list"]).decode().split()
    for applet in sorted(set(applets) - LEFT_OUT_APPLETS):
        folder = "sbin" if applet in SYSTEM_APPLETS else "bin"
        (tree / folder / applet).symlink_to("/bin/busybox")


def _install_programs(tree: Path, unpacked: Path) -> None:
    """Copy the programs and, asking the packages' own loader, every library they need."""
    loaders = [
        loader
        for folder in (*LIBRARY_FOLDERS, "lib64", "usr/lib64")
        if (loader := unpacked / folder / LOADER).is_file() and not loader.is_symlink()
    ]
    if not loaders:
        raise BuildError(f"package libc6 holds no {LOADER}")
    search = ":".join(str(unpacked / folder) for folder in LIBRARY_FOLDERS)
    (tree / "lib64").mkdir()
    shutil.copy(loaders[0], tree / "lib64" / LOADER)
    for source, target in PROGRAMS.items():
        if not (unpacked / source).is_file():
            raise BuildError(f"no package holds /{source}; see guest-packages.txt")
        (tree / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(unpacked / source, tree / target)
        listing = run(
            [loaders[0], "--inhibit-cache", "--library-path", search, "--list", unpacked / source]
        )
        for line in listing.decode().splitlines():
            name, arrow, place = line.strip().partition(" => ")
            if not arrow or name.startswith("/"):
                continue
            library = Path(place.split(" (")[0])
            if unpacked not in library.parents:
                raise BuildError(f"{source} needs {name}: add its package to guest-packages.txt")
            shutil.copy(library, tree / "lib" / name)


def _install_modules(folder: Path, modules: list[Module]) -> None:
    """Write the modules and the modules.dep that busybox modprobe reads."""
    folder.mkdir(parents=True)
    by_name = {module.name: module for module in modules}

    def needs(module: Module) -> list[str]:
        nested = [
            name for need in module.depends if need in by_name for name in needs(by_name[need])
        ]
        direct = [need for need in module.depends if need in by_name]
        return list(dict.fromkeys([*direct, *nested]))

    lines = []
    for module in modules:
        (folder / f"{module.name}.ko").write_bytes(module.content)
        lines.append(" ".join([f"{module.name}.ko:", *(f"{need}.ko" for need in needs(module))]))
    (folder / "modules.dep").write_text("\n".join(lines) + "\n")
