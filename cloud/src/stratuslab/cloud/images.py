"""Brings disk images into the cloud: copied, checked, then registered through CIMI."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from pathlib import Path

import aiofiles
import msgspec

from stratuslab.cloud.cimi import Cimi
from stratuslab.core.errors import ConfigurationError, StratusLabError

CHUNK_BYTES = 1024 * 1024
CHECK_SECONDS = 60.0


async def bring_in(file: Path, folder: Path) -> Path:
    """Copies the file into the image folder under its checksum; an equal one is kept.

    Raises ConfigurationError when it is no self-contained disk image, or there is no room.
    """
    await _check(file)
    draft = folder / f".{file.name}.new"
    digest = hashlib.sha256()
    try:
        async with aiofiles.open(file, "rb") as source, aiofiles.open(draft, "wb") as target:
            while chunk := await source.read(CHUNK_BYTES):
                digest.update(chunk)
                await target.write(chunk)
        place = folder / f"{file.stem}-{digest.hexdigest()[:16]}{file.suffix}"
        if place.exists():
            draft.unlink()
        else:
            draft.replace(place)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ConfigurationError(
            f"The image {file} cannot be copied: {error.strerror}.",
            hint="Is it readable, and is there room in the data folder?",
        ) from error
    return place


async def register(cimi: Cimi, name: str, location: str) -> str:
    """The URI of a machine image with this location; made if there is none."""
    for image in await cimi.collection("machineImages"):
        if image.get("imageLocation") == location:
            return str(image["id"])
    body = {"name": name, "type": "IMAGE", "imageLocation": location}
    created = await cimi.post("machineImages", body)
    return str(created["id"])


async def _check(file: Path) -> None:
    """An image must not lead QEMU to other files of this host."""
    program = shutil.which("qemu-img")
    if not file.is_file():
        raise ConfigurationError(
            f"There is no image {file}.", hint="`make image` builds a small one."
        )
    if program is None:
        raise ConfigurationError(
            "qemu-img is missing.", hint="apt-get install qemu-utils, or see `stratuslab doctor`."
        )
    process = await asyncio.create_subprocess_exec(
        program,
        "info",
        "--output=json",
        str(file),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise StratusLabError(f"qemu-img did not answer about {file}.") from None
    if process.returncode != 0:
        raise ConfigurationError(f"{file} is no disk image: {err.decode().strip()}.")
    info = msgspec.json.decode(out, type=dict[str, object])
    if info.get("backing-filename") or "data-file" in str(info.get("format-specific", "")):
        raise ConfigurationError(
            f"{file} refers to other files and cannot be brought in.",
            hint="Flatten it first: qemu-img convert -O qcow2 IMAGE FLAT.qcow2",
        )
