"""MachineImage: what machines boot from, and which locations may be registered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stratuslab.cimi_api.model.attributes import Body, MemoryKib, Uri
from stratuslab.cimi_api.model.common import NAMESPACE, Extension, Reference, Representation, View
from stratuslab.core.contracts import MachineImage
from stratuslab.core.contracts.catalogue import ImageType
from stratuslab.core.errors import Forbidden, InvalidRequest


class MachineImageRepresentation(Representation, kw_only=True, tag=f"{NAMESPACE}/MachineImage"):
    """DSP0263 MachineImage."""

    state: str
    type: str
    image_location: str
    related_image: Reference | None = None
    minimum_memory: Extension[int | None] = None
    """Machines with less memory, in KiB, are refused."""


def represent(document: MachineImage, view: View) -> MachineImageRepresentation:
    """The document as CIMI shows it."""
    related = document.related_image
    return MachineImageRepresentation(
        state=document.state,
        type=document.type,
        image_location=document.location,
        related_image=Reference(view.resource("machine-image", related)) if related else None,
        minimum_memory=document.minimum_memory_kib or None,
    )


class MachineImageBody(Body, kw_only=True):
    """What a client writes."""

    image_location: Uri
    type: ImageType = "IMAGE"
    minimum_memory: MemoryKib | None = None


def new(id: str, body: MachineImageBody) -> MachineImage:
    """A bare document."""
    return MachineImage(id=id, type=body.type, location=body.image_location)


def body_of(document: MachineImage) -> MachineImageBody:
    """The writable attributes as they are now."""
    return MachineImageBody(
        image_location=document.location,
        type=document.type,
        minimum_memory=document.minimum_memory_kib or None,
    )


def apply(document: MachineImage, body: MachineImageBody) -> None:
    """Writes the attributes that are this type's own; the location was checked before."""
    document.location = body.image_location
    document.minimum_memory_kib = body.minimum_memory or 0


def check_location(
    location: str, *, administrator: bool, folders: Sequence[Path], attribute: str
) -> str:
    """The location to keep. Raises InvalidRequest or Forbidden naming `attribute`.

    A file must lie in one of the image folders, after all links are followed, so that nobody can
    make a machine out of the host's own files.
    """
    scheme, _, rest = location.partition(":")
    if scheme == "simulated" and rest:
        return location
    if scheme != "file":
        raise InvalidRequest(
            f"{attribute} is {location!r}, which this cloud cannot fetch.",
            hint="Use file:///… inside an image folder, or simulated:… on a simulated cloud.",
        )
    if not administrator:
        raise Forbidden(
            f"{attribute} names a file of the cloud's hosts.",
            hint="Only an administrator may register such images.",
        )
    path = _local_path(location)
    if path is None:
        raise InvalidRequest(
            f"{attribute} is {location!r}, which is no local file.", hint="Write file:///path."
        )
    try:
        real = path.resolve()
        found = real.is_file()
    except (OSError, RuntimeError):  # a name that is too long, a circle of links
        real, found = path, False
    if not any(real.is_relative_to(folder.resolve()) for folder in folders):
        named = ", ".join(map(str, folders)) or "none is configured"
        raise InvalidRequest(
            f"{attribute} is {location!r}, which lies in none of the image folders.",
            hint=f"Put the image into an image folder: {named}.",
        )
    if not found:
        raise InvalidRequest(
            f"{attribute} is {location!r}, but there is no such file.",
            hint="Copy the image there first.",
        )
    return real.as_uri()


def _local_path(location: str) -> Path | None:
    """The absolute path that a `file:` location names, None if it names none."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return None
    path = unquote(parts.path)
    local = parts.netloc in ("", "localhost") and path.startswith("/") and "\0" not in path
    return Path(path) if local else None
