"""The first machine of a cloud: made through CIMI like any other, shown by its own banner.

An earlier one is used again: started if it is stopped, waited for if it is being started.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stratuslab.cloud.cimi import ACTIONS, Cimi
from stratuslab.cloud.images import bring_in, newest, register
from stratuslab.cloud.layout import DataFolder
from stratuslab.core.errors import (
    ConfigurationError,
    PermanentError,
    TransientError,
    Unavailable,
)

NAME = "first"
MEMORY_KIB = 128 * 1024
PATIENCE_SECONDS = 180.0
LOOK_SECONDS = 0.2
SETTLE_SECONDS = 0.2
"""After READY the guest writes the rest of its banner."""
ADDRESS_SECONDS = 3.0
GREETING_SECONDS = 1.0

READY = re.compile(r"STRATUSLAB READY name=(?P<name>\S+) address=\S+ ssh=(?P<ssh>\S+)[^\n]*\n")
_GONE_WRONG = frozenset({"ERROR", "DELETING", "FAILED"})


@dataclass(frozen=True)
class FirstGuest:
    """What is needed to make it. `image`: a disk image; None takes the one brought in last."""

    cimi: str
    user: str
    password: str
    data: DataFolder
    simulated: bool = False
    image: Path | None = None
    patience_seconds: float = PATIENCE_SECONDS


@dataclass(frozen=True)
class ShownGuest:
    """A guest that runs: as CIMI shows it, and what it said itself."""

    machine: dict[str, Any]
    banner: str
    seconds: float


async def show_first_guest(guest: FirstGuest, progress: Callable[[str], None]) -> ShownGuest:
    """Makes the first machine, or finds it again, and waits until it is ready.

    Raises StratusLabError with the reason when it is not ready in time.
    """
    began = time.monotonic()
    async with Cimi(guest.cimi, guest.user, guest.password) as cimi:
        machine = await _existing(cimi)
        if machine is None:
            progress("Making a first machine …")
            machine = await _create(cimi, guest)
        progress("Waiting for the guest's own words …")
        banner = await _banner(cimi, str(machine["id"]), guest, progress)
        machine = await _with_address(cimi, str(machine["id"]))
    return ShownGuest(machine, banner, time.monotonic() - began)


async def _existing(cimi: Cimi) -> dict[str, Any] | None:
    """The first machine of an earlier run, started if it was stopped."""
    for machine in await cimi.named("machines", NAME):
        if machine["state"] in _GONE_WRONG:
            continue
        for operation in machine.get("operations", []):
            if operation["rel"] == f"{ACTIONS}start":
                await cimi.post(operation["href"], {"action": f"{ACTIONS}start"})
        return machine
    return None


async def _create(cimi: Cimi, guest: FirstGuest) -> dict[str, Any]:
    location = "simulated:tiny" if guest.simulated else await _image(guest)
    image = await register(cimi, "tiny", location)
    body = {
        "name": NAME,
        "description": "The first machine of this cloud",
        "machineTemplate": {
            "initialState": "STARTED",
            "machineConfig": {"cpu": 1, "memory": MEMORY_KIB},
            "machineImage": {"href": image},
            "credential": {"href": await _credential(cimi, guest.data)},
        },
    }
    return await cimi.post("machines", body)


async def _image(guest: FirstGuest) -> str:
    if guest.image is not None:
        return (await bring_in(guest.image, guest.data.images)).as_uri()
    place = newest(guest.data.images)
    if place is None:
        raise ConfigurationError(
            "There is no image for a first machine.",
            hint="`make image` builds one; name it with --image.",
        )
    return place.as_uri()


async def _credential(cimi: Cimi, data: DataFolder) -> str:
    """The URI of a credential with this cloud's own ssh key; both are made if needed."""
    key = await asyncio.to_thread(public_key, data.ssh_key)
    for credential in await cimi.named("credentials", NAME):
        if str(credential.get("key", "")).split()[:2] == key.split()[:2]:
            return str(credential["id"])
    body = {"name": NAME, "credentialTemplate": {"userName": "stratus", "key": key}}
    return str((await cimi.post("credentials", body))["id"])


def public_key(file: Path) -> str:
    """The public half of the ssh key in this file, which is made if it is missing."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if file.exists():
        key = serialization.load_ssh_private_key(file.read_bytes(), password=None)
    else:
        key = Ed25519PrivateKey.generate()
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as target:
            target.write(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.OpenSSH,
                    serialization.NoEncryption(),
                )
            )
        draft.replace(file)
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return f"{public.decode()} first-machine"


async def _banner(cimi: Cimi, id: str, guest: FirstGuest, progress: Callable[[str], None]) -> str:
    """What the guest says when it is ready: from its last READY line to the end of the log."""
    end = time.monotonic() + guest.patience_seconds
    log, trouble = "", ""
    while time.monotonic() < end:
        with suppress(TransientError):
            machine = await cimi.get(id)
            trouble = await _trouble(cimi, machine)
            log = await cimi.console(id)
            ready = _last_ready(log)
            if ready is not None and await _is_up(machine, ready, simulated=guest.simulated):
                await asyncio.sleep(SETTLE_SECONDS)
                log = await cimi.console(id) or log
                return log[(_last_ready(log) or ready).start() :].strip()
            if machine["state"] == "STARTED" and ready is None:
                progress("The machine is started; waiting for the guest's own words …")
        await asyncio.sleep(LOOK_SECONDS)
    tail = "\n".join(f"    | {line}" for line in log.strip().splitlines()[-8:])
    raise Unavailable(
        f"The guest was not ready within {guest.patience_seconds:g} s. {trouble}".strip(),
        hint=f"The end of its console:\n{tail}" if tail else f"Its console {id} is silent.",
    )


def _last_ready(log: str) -> re.Match[str] | None:
    return next(reversed(list(READY.finditer(log))), None)


async def _is_up(machine: dict[str, Any], ready: re.Match[str], *, simulated: bool) -> bool:
    """Whether this boot is meant, and not an earlier one that the log shows as well: a guest
    with ssh must greet there."""
    if machine["state"] != "STARTED":
        return False
    if simulated or ready["ssh"] != "yes":
        return True
    for address in machine.get("addresses", []):
        if address.get("sshHost"):
            return await _greets(address["sshHost"], address.get("sshPort", 22))
    return False


async def _greets(host: str, port: int) -> bool:
    """Whether an ssh server answers there."""
    try:
        async with asyncio.timeout(GREETING_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                return (await reader.read(4)) == b"SSH-"
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def _trouble(cimi: Cimi, machine: dict[str, Any]) -> str:
    """What is known to be in the way. Raises PermanentError when it will stay so."""
    reasons = [str(each.get("message", "")) for each in machine.get("conditions", [])]
    if job := machine.get("job"):
        state = await cimi.get(job["href"])
        if state["state"] == "FAILED":
            reasons.insert(0, str(state.get("statusMessage", "")))
            raise PermanentError(f"The machine could not be started: {_joined(reasons)}")
    if machine["state"] in _GONE_WRONG:
        raise PermanentError(f"The machine is in the state {machine['state']}: {_joined(reasons)}")
    return _joined(reasons)


def _joined(reasons: list[str]) -> str:
    return " ".join(dict.fromkeys(each for each in reasons if each))


async def _with_address(cimi: Cimi, id: str) -> dict[str, Any]:
    """The machine once the cloud has noted its address too, which may take a moment."""
    end = time.monotonic() + ADDRESS_SECONDS
    while True:
        machine = await cimi.get(id)
        known = any(address.get("ip") for address in machine.get("addresses", []))
        if known or time.monotonic() > end:
            return machine
        await asyncio.sleep(LOOK_SECONDS)
