"""Brings disk images into the cloud: checked, copied, then registered through CIMI."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

import aiofiles

from stratuslab.cloud.cimi import Cimi
from stratuslab.core.errors import ConfigurationError
from stratuslab.vm_controller.drivers.image_check import ImageChecker

CHUNK_BYTES = 1024 * 1024


async def bring_in(file: Path, folder: Path, *, sha256: str = "") -> Path:
    """Copies the file into the image folder, under a name with its checksum; one that is there
    already is kept. `sha256`: what the checksum has to be, if known.

    Raises DomainRejected when QEMU cannot use it alone, ConfigurationError when it cannot be
    read or copied, or is not what the checksum says.
    """
    if not file.is_file():
        raise ConfigurationError(
            f"There is no image {file}.", hint="`make image` builds a small one."
        )
    await ImageChecker([file.parent]).check(str(file.resolve()))
    draft = folder / f".{file.name}.{secrets.token_hex(4)}.new"
    try:
        found = await _copy(file, draft)
        if sha256 and found != sha256.lower():
            raise ConfigurationError(
                f"The image {file} has the SHA-256 {found}, not {sha256}.",
                hint="It is another one, or damaged: fetch it again.",
            )
        place = folder / f"{file.stem}-{found[:16]}{file.suffix}"
        if not place.exists():
            draft.replace(place)
    except OSError as error:
        raise ConfigurationError(
            f"The image {file} cannot be copied into {folder}: {error.strerror}.",
            hint="Is it readable, and is there room?",
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return place


async def register(cimi: Cimi, name: str, location: str) -> str:
    """The URI of a machine image with this name and location; made if there is none."""
    for image in await cimi.named("machineImages", name):
        if image.get("imageLocation") == location:
            return str(image["id"])
    body = {"name": name, "type": "IMAGE", "imageLocation": location}
    created = await cimi.post("machineImages", body)
    return str(created["id"])


def newest(folder: Path) -> Path | None:
    """The image that was brought in last."""
    images = [file for file in folder.glob("[!.]*") if file.is_file()]
    return max(images, key=lambda file: file.stat().st_mtime, default=None)


async def _copy(source: Path, target: Path) -> str:
    """Copies as a stream; the SHA-256 of what was copied. QEMU may read it when it is there."""
    digest = hashlib.sha256()
    async with aiofiles.open(source, "rb") as reading, aiofiles.open(target, "wb") as writing:
        while chunk := await reading.read(CHUNK_BYTES):
            digest.update(chunk)
            await writing.write(chunk)
        await writing.flush()
    target.chmod(0o644)
    return digest.hexdigest()
