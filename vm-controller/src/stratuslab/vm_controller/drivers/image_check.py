"""Whether an image file may become the base of a guest's disk.

An image's own header can name other files of the host as its backing or data file. So an image
is looked at once, before first use, in a bounded process, and taken only when it stands alone;
afterwards its format is always told to QEMU, never guessed again. A guest cannot write to the
image, only to its own overlay.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from stratuslab.vm_controller.drivers.base import DomainRejected
from stratuslab.vm_controller.external_program import ProgramFailed, run_program

FORMATS = frozenset({"qcow2", "raw"})
TIMEOUT_SECONDS = 30.0
LIMITS = ("prlimit", "--as=1073741824", "--cpu=20")


class CheckedImage(msgspec.Struct, frozen=True):
    """An image that may be used."""

    path: Path
    format: str
    virtual_size_bytes: int


class _DataFile(msgspec.Struct, rename="kebab"):
    data_file: str | None = None


class _Specific(msgspec.Struct):
    data: _DataFile = msgspec.field(default_factory=_DataFile)


class _Info(msgspec.Struct, rename="kebab"):
    format: str
    virtual_size: int
    backing_filename: str | None = None
    full_backing_filename: str | None = None
    encrypted: bool = False
    format_specific: _Specific = msgspec.field(default_factory=_Specific)


class ImageChecker:
    """Checks images below `folders`; remembers a file it has checked until that changes."""

    def __init__(self, folders: Sequence[Path], *, qemu_img: str = "qemu-img") -> None:
        self._folders = tuple(folder.resolve() for folder in folders)
        self._qemu_img = qemu_img
        self._known: dict[tuple[Path, int, int, int], CheckedImage] = {}

    async def check(self, location: str) -> CheckedImage:
        """The image at `location`, a path or a `file://` URI. Raises DomainRejected."""
        path = self._inside(location)
        status = path.stat()
        identity = (path, status.st_ino, status.st_size, status.st_mtime_ns)
        if identity not in self._known:
            self._known = {key: image for key, image in self._known.items() if key[0] != path}
            self._known[identity] = await self._examine(path)
        return self._known[identity]

    def _inside(self, location: str) -> Path:
        try:
            path = _local_path(location).resolve(strict=True)
        except OSError as error:
            raise DomainRejected(
                f"The image {location} does not exist on this host.",
                hint="Put the file into an image folder, or change the image's location.",
            ) from error
        if not path.is_file() or not any(path.is_relative_to(each) for each in self._folders):
            raise DomainRejected(
                f"The image {location} does not lie in an image folder of this host.",
                hint="Move the file into one of: " + ", ".join(map(str, self._folders)),
            )
        return path

    async def _examine(self, path: Path) -> CheckedImage:
        try:
            output = await run_program(
                *LIMITS, self._qemu_img, "info", "--output=json", "--force-share", str(path),
                timeout_seconds=TIMEOUT_SECONDS,
            )  # fmt: skip
            info = msgspec.json.decode(output, type=_Info)
        except (ProgramFailed, msgspec.DecodeError) as error:
            raise DomainRejected(
                f"The image {path} cannot be understood: {error}.",
                hint="Make it anew, as qcow2 or raw.",
            ) from error
        if info.format not in FORMATS:
            raise DomainRejected(
                f"The image {path} has the format {info.format}.",
                hint="Convert it: qemu-img convert -O qcow2 FROM TO",
            )
        others = (info.backing_filename, info.full_backing_filename)
        if any(others) or info.format_specific.data.data_file or info.encrypted:
            raise DomainRejected(
                f"The image {path} needs other files or a key: it names a backing file or a data "
                "file, or is encrypted.",
                hint="Make it stand alone: qemu-img convert -O qcow2 FROM TO",
            )
        return CheckedImage(path, info.format, info.virtual_size)


def _local_path(location: str) -> Path:
    uri = urlsplit(location)
    if uri.scheme == "file" and uri.netloc in ("", "localhost"):
        return _absolute(unquote(uri.path), location)
    if not uri.scheme:
        return _absolute(location, location)
    raise DomainRejected(
        f"Images cannot be fetched from {location}.", hint="Use file:///… inside an image folder."
    )


def _absolute(path: str, location: str) -> Path:
    if not path.startswith("/") or "\0" in path:
        raise DomainRejected(f"The image location {location!r} is not an absolute path.")
    return Path(path)
