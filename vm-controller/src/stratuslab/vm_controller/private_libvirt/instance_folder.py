"""The folder of a private libvirt instance: its layout, settings files and boot id.

It must start and stop nothing. As root the instance is a *system* libvirt that sees this folder
as its `/etc/libvirt`, `/var/lib/libvirt` and so on; otherwise it is a *session* libvirt whose
XDG folders lie in it.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path

from stratuslab.core.errors import ConfigurationError
from stratuslab.vm_controller.host_boot import host_boot_id
from stratuslab.vm_controller.private_libvirt.foster_parent import SYSTEM_FOLDERS

LONGEST_SOCKET_PATH = 107
"""Linux' limit for the path of a unix socket, in bytes."""

LONGEST_SYSTEM_SOCKET = "/run/libvirt-admin-sock"
LONGEST_SESSION_SOCKET = (
    "/libvirt/qemu/channel/target/domain-99999-12345678901234567890/org.stratuslab.guest.0"
)

CONSOLE_LOG_MAX_BYTES = 1 << 20
CONSOLE_LOG_BACKUPS = 1

PRIVATE_NOTICE = """\
This folder belongs to a private libvirt instance, started by StratusLab for its own guests.

Its settings confine QEMU less than the distribution's do (no security driver, QEMU runs as the
user of the instance). They are meant for trials and tests. A production host uses the
distribution's own libvirt, `qemu:///system`.
"""

LIBVIRTD_CONF = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
host_uuid = "{host_uuid}"
log_outputs = "3:file:{log_folder}/libvirtd.log"
"""

QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "logd"
"""

QEMU_SESSION_CONF = """\
security_driver = "none"
stdio_handler = "logd"
"""

VIRTLOGD_CONF = """\
max_size = {max_size}
max_backups = {max_backups}
log_outputs = "3:file:{log_folder}/virtlogd.log"
"""


class InstanceFolder:
    """Paths inside the folder. `prepare` makes them real; everything else only reads."""

    def __init__(self, path: Path, *, system: bool | None = None) -> None:
        self.path = path.resolve()
        self.system = os.geteuid() == 0 if system is None else system
        inside = LONGEST_SYSTEM_SOCKET if self.system else LONGEST_SESSION_SOCKET
        self.near = _near(self.path, LONGEST_SOCKET_PATH - len(inside))
        """The folder under a path short enough for the sockets inside it."""

    @property
    def run(self) -> Path:
        """Where sockets and pid files of the daemons lie."""
        return self.near / "run" if self.system else self.near / "run/libvirt"

    @property
    def logs(self) -> Path:
        return self.near / "log" if self.system else self.near / "cache/libvirt"

    @property
    def uri(self) -> str:
        """How a client on this host connects."""
        driver = "qemu:///system" if self.system else "qemu:///session"
        return f"{driver}?socket={self.run / 'libvirt-sock'}"

    @property
    def environment(self) -> dict[str, str]:
        """What the daemons need in their environment."""
        kept = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
        if self.system:
            return kept
        near = self.near
        return kept | {
            "HOME": os.environ.get("HOME", str(near)),
            "XDG_RUNTIME_DIR": str(near / "run"),
            "XDG_CONFIG_HOME": str(near),
            "XDG_CACHE_HOME": str(near / "cache"),
            "XDG_DATA_HOME": str(near / "data"),
        }

    def prepare(self) -> None:
        """Make the folders and write the settings; repeating it changes nothing.

        Raises ConfigurationError when the folder cannot be written or its path is too long.
        """
        try:
            self._prepare()
        except OSError as error:
            raise ConfigurationError(
                f"The folder {self.path} of the private libvirt cannot be prepared: {error}.",
                hint="Choose another folder, or give this user the right to write there.",
            ) from error

    def boot_id(self) -> str:
        """Names the span in which guests of this instance can have kept running.

        It changes with the host's boot, and when the instance itself stopped its guests.
        """
        return (self.path / "boot-id").read_text().strip()

    def begin_new_boot(self) -> None:
        """From now on domains started before count as ended by a host reboot."""
        _write(self.path / "boot-id", f"{host_boot_id()}/{uuid.uuid4().hex[:8]}\n")

    def guest_processes(self) -> list[int]:
        """Pids of QEMU processes of this instance that are alive."""
        pid_files = self.run / "qemu" if self.system else self.run / "qemu/run"
        pids = [_read_pid(file) for file in sorted(pid_files.glob("*.pid"))]
        return [pid for pid in pids if pid is not None and "-uuid" in command_line(pid)]

    def forget_near(self) -> None:
        """Remove the short link, if there is one; `prepare` makes it again."""
        if self.near != self.path:
            self.near.unlink(missing_ok=True)

    def _prepare(self) -> None:
        names = SYSTEM_FOLDERS if self.system else ("run", "libvirt", "cache", "data")
        self.path.mkdir(parents=True, exist_ok=True, mode=0o711)
        _link_near(self.near, self.path)
        for name in names:
            (self.path / name).mkdir(exist_ok=True, mode=0o711 if self.system else 0o700)
        settings = self.path / "etc" if self.system else self.path / "libvirt"
        settings.mkdir(parents=True, exist_ok=True)
        self.run.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        _write(self.path / "PRIVATE", PRIVATE_NOTICE)
        log_folder = "/var/log/libvirt" if self.system else str(self.logs)
        host_uuid = uuid.uuid5(uuid.NAMESPACE_URL, f"file://{os.uname().nodename}{self.path}")
        _write(
            settings / "libvirtd.conf",
            LIBVIRTD_CONF.format(log_folder=log_folder, host_uuid=host_uuid),
        )
        _write(settings / "qemu.conf", QEMU_CONF if self.system else QEMU_SESSION_CONF)
        _write(
            settings / "virtlogd.conf",
            VIRTLOGD_CONF.format(
                max_size=CONSOLE_LOG_MAX_BYTES,
                max_backups=CONSOLE_LOG_BACKUPS,
                log_folder=log_folder,
            ),
        )
        boot_file = self.path / "boot-id"
        if not boot_file.exists() or not boot_file.read_text().startswith(host_boot_id()):
            self.begin_new_boot()


def command_line(pid: int) -> list[str]:
    """The arguments of a process; empty when it is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _read_pid(file: Path) -> int | None:
    try:
        return int(file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _near(path: Path, longest: int) -> Path:
    """The path itself, or when sockets inside it would be too long, a short link to it."""
    if len(os.fsencode(path)) <= longest:
        return path
    name = "sl-" + hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    for parent in (Path(f"/run/user/{os.geteuid()}"), Path("/tmp")):  # noqa: S108
        link = parent / name
        if os.access(parent, os.W_OK) and len(os.fsencode(link)) <= longest:
            return link
    raise ConfigurationError(
        f"The path {path} is too long for the unix sockets inside it: "
        f"{len(os.fsencode(path))} bytes, at most {longest} are possible.",
        hint="Choose a folder with a shorter path.",
    )


def _link_near(near: Path, path: Path) -> None:
    if near == path:
        return
    if not near.is_symlink():
        near.symlink_to(path)
    if near.readlink() != path or near.lstat().st_uid != os.geteuid():
        raise ConfigurationError(
            f"{near} should be this user's link to {path}, but something else is there.",
            hint=f"Remove {near}, or choose a folder with a shorter path.",
        )


def _write(file: Path, text: str) -> None:
    if file.exists() and file.read_text() == text:
        return
    fresh = file.with_name(file.name + ".new")
    fresh.write_text(text)
    fresh.replace(file)
