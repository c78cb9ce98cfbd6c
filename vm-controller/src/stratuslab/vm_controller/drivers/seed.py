"""Cloud-init NoCloud seeds: a small read-only ISO 9660 disk labelled `cidata` for each guest.

It holds what only this guest may know, so it is readable by its owner alone. Attach it as a
virtio disk: cloud kernels have no driver for emulated CD drives.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from pathlib import Path

from stratuslab.core.contracts.machine import GuestLogin
from stratuslab.vm_controller.drivers.base import DomainDisk, DomainRejected
from stratuslab.vm_controller.drivers.machine_folder import MachineFolders

LABEL = "cidata"
FILE = "seed.iso"
MAX_USER_DATA_BYTES = 1 << 20

VOLUME_SET_OFFSET = 16 * 2048 + 190
"""Where the primary volume descriptor has its volume set identifier, 128 bytes."""


class NoCloudSeeds:
    """Makes the seeds of one host's guests, in the machines' folders."""

    def __init__(self, machines: Path) -> None:
        self._folders = MachineFolders(machines)

    async def prepare(
        self,
        machine_id: str,
        *,
        host_name: str,
        login: GuestLogin | None,
        user_data: bytes | None,
    ) -> DomainDisk:
        """The seed with this content; a seed that has it already is not touched.

        `user_data` is taken as it is; without it the login alone makes a `#cloud-config`.
        """
        if user_data is not None and len(user_data) > MAX_USER_DATA_BYTES:
            raise DomainRejected(
                f"The user data has {len(user_data)} bytes, at most {MAX_USER_DATA_BYTES} fit."
            )
        files = {
            "meta-data": meta_data(machine_id, host_name, login),
            "user-data": cloud_config(login) if user_data is None else user_data,
        }
        path = self._folders.made(machine_id) / FILE
        await asyncio.to_thread(self._write, machine_id, path, files)
        return DomainDisk(path=path, format="raw", read_only=True, serial=LABEL)

    async def release(self, machine_id: str) -> None:
        """Remove the seed."""
        self._folders.remove(machine_id, f"{FILE}*")

    def _write(self, machine_id: str, path: Path, files: dict[str, bytes]) -> None:
        fingerprint = _fingerprint(files)
        if _fingerprint_of(path) != fingerprint:
            self._folders.write(machine_id, FILE, iso_image(files, fingerprint))


def meta_data(machine_id: str, host_name: str, login: GuestLogin | None) -> bytes:
    """NoCloud's `meta-data`: who the guest is, and the key of its default user."""
    lines = [f"instance-id: {_quoted(machine_id)}", f"local-hostname: {_quoted(host_name)}"]
    if login is not None and login.public_key:
        lines += ["public-keys:", f"  - {_quoted(login.public_key.strip())}"]
    return _lines(lines)


def cloud_config(login: GuestLogin | None) -> bytes:
    """A `#cloud-config` that lets the login in by its key and nobody by password."""
    lines = ["#cloud-config", "ssh_pwauth: false"]
    if login is not None and login.user_name == "root":
        lines += ["disable_root: false"]
    if login is not None and login.user_name:
        lines += [
            "users:",
            "  - default",
            f"  - name: {_quoted(login.user_name)}",
            "    lock_passwd: true",
        ]
        if login.user_name != "root":
            lines += ["    shell: /bin/sh", '    sudo: "ALL=(ALL) NOPASSWD:ALL"']
        if login.public_key:
            lines += ["    ssh_authorized_keys:", f"      - {_quoted(login.public_key.strip())}"]
    elif login is not None and login.public_key:
        lines += ["ssh_authorized_keys:", f"  - {_quoted(login.public_key.strip())}"]
    return _lines(lines)


def iso_image(files: dict[str, bytes], fingerprint: str = "") -> bytes:
    """An ISO 9660 image labelled `cidata` with Rock Ridge and Joliet names."""
    import pycdlib  # here: 30 ms that only an agent with real guests spends

    iso = pycdlib.PyCdlib()
    iso.new(
        interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL, vol_set_ident=fingerprint
    )
    for name, content in files.items():
        plain = name.upper().replace("-", "_")
        iso.add_fp(
            io.BytesIO(content),
            len(content),
            f"/{plain}.;1",
            rr_name=name,
            joliet_path=f"/{name}",
            file_mode=0o100400,
        )
    image = io.BytesIO()
    iso.write_fp(image)
    iso.close()
    return image.getvalue()


def _fingerprint(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest().upper()


def _fingerprint_of(path: Path) -> str:
    """The fingerprint in an existing seed's header: dates make equal seeds differ otherwise."""
    try:
        with path.open("rb") as stream:
            stream.seek(VOLUME_SET_OFFSET)
            return stream.read(128).decode(errors="replace").strip()
    except OSError:
        return ""


def _quoted(text: str) -> str:
    """A YAML scalar that is a plain string whatever is in it (JSON strings are YAML)."""
    return json.dumps(text)


def _lines(lines: list[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
