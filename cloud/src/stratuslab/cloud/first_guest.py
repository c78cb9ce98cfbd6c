"""The first machine of a new cloud: made through CIMI like any other, shown by its own banner."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stratuslab.cloud.cimi import Cimi
from stratuslab.cloud.images import bring_in, register
from stratuslab.cloud.layout import DataFolder
from stratuslab.core.errors import StratusLabError

NAME = "first"
MEMORY_KIB = 128 * 1024
PATIENCE_SECONDS = 180.0
ADDRESS_SECONDS = 3.0
READY = re.compile(r"STRATUSLAB READY name=(\S+) address=(\S+) ssh=(\S+)[^\n]*\n")
ACTION_START = "http://schemas.dmtf.org/cimi/1/action/start"


@dataclass(frozen=True)
class FirstGuest:
    """What is needed to make it."""

    cimi: str
    user: str
    password: str
    data: DataFolder
    simulated: bool
    image: Path | None


async def show_first_guest(guest: FirstGuest, say: Callable[[str], None]) -> None:
    """Makes the first machine, or finds it again, and shows its banner.

    Raises StratusLabError with the reason when no banner appears in time.
    """
    began = time.monotonic()
    async with Cimi(guest.cimi, guest.user, guest.password) as cimi:
        machine = await _existing(cimi)
        if machine is None:
            say("Creating a first machine …")
            machine = await _create(cimi, guest)
        id = str(machine["id"])
        say(f"Waiting for the guest's own words on {id} …")
        banner = await _banner(cimi, id)
        machine = await _with_address(cimi, id)
    say(_screen(machine, banner, guest, time.monotonic() - began))


async def _existing(cimi: Cimi) -> dict[str, Any] | None:
    """The first machine of an earlier run, started if it was stopped."""
    for machine in await cimi.collection("machines"):
        if machine.get("name") != NAME:
            continue
        for operation in machine.get("operations", []):
            if operation["rel"] == ACTION_START:
                await cimi.post(operation["href"], {"action": ACTION_START})
        return machine
    return None


async def _create(cimi: Cimi, guest: FirstGuest) -> dict[str, Any]:
    if guest.simulated:
        location = "simulated:tiny"
    else:
        if guest.image is None:
            raise StratusLabError(
                "There is no image for a first machine.",
                hint="`make image` builds one; name it with --image.",
            )
        place = await bring_in(guest.image, guest.data.images)
        location = place.as_uri()
    image = await register(cimi, "tiny", location)
    credential = await _credential(cimi, guest.data)
    body = {
        "name": NAME,
        "description": "The first machine of this cloud",
        "machineTemplate": {
            "initialState": "STARTED",
            "machineConfig": {"cpu": 1, "memory": MEMORY_KIB},
            "machineImage": {"href": image},
            "credential": {"href": credential},
        },
    }
    return await cimi.post("machines", body)


async def _credential(cimi: Cimi, data: DataFolder) -> str:
    """The URI of a credential with this cloud's own ssh key, made if needed."""
    for credential in await cimi.collection("credentials"):
        if credential.get("name") == NAME:
            return str(credential["id"])
    public = await asyncio.to_thread(ssh_key, key_file(data))
    body = {"name": NAME, "credentialTemplate": {"userName": "stratus", "key": public}}
    return str((await cimi.post("credentials", body))["id"])


def key_file(data: DataFolder) -> Path:
    """The private ssh key for first machines."""
    return data.secrets / "ssh-key"


def ssh_key(file: Path) -> str:
    """The public key beside this private key; both are made if they are missing."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if file.exists():
        key = serialization.load_ssh_private_key(file.read_bytes(), password=None)
        assert isinstance(key, Ed25519PrivateKey)
    else:
        key = Ed25519PrivateKey.generate()
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as target:
            target.write(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.OpenSSH,
                    serialization.NoEncryption(),
                )
            )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return public.decode() + " first-machine"


async def _banner(cimi: Cimi, id: str) -> str:
    """What the guest says when it is ready: from its READY line to the end of the log."""
    end = time.monotonic() + PATIENCE_SECONDS
    log = ""
    while time.monotonic() < end:
        machine = await cimi.get(id)
        if machine["state"] == "ERROR":
            raise StratusLabError(f"The machine failed: {_why(machine)}")
        if machine["state"] == "STARTED":
            log = await cimi.text(f"{id}/consoleLog")
            found = list(READY.finditer(log))
            if found:
                await asyncio.sleep(0.2)
                log = await cimi.text(f"{id}/consoleLog")
                return log[list(READY.finditer(log))[-1].start() :].strip()
        await asyncio.sleep(0.2)
    tail = "\n".join(log.strip().splitlines()[-5:]) or "(the console is silent)"
    raise StratusLabError(
        f"The guest was not ready in {PATIENCE_SECONDS:g} s. Its console:\n{tail}"
    )


async def _with_address(cimi: Cimi, id: str) -> dict[str, Any]:
    """The machine once the cloud has noted its address too, which may take a moment."""
    end = time.monotonic() + ADDRESS_SECONDS
    while True:
        machine = await cimi.get(id)
        known = any(address.get("ip") for address in machine.get("addresses", []))
        if known or time.monotonic() > end:
            return machine
        await asyncio.sleep(0.1)


def _why(machine: dict[str, Any]) -> str:
    conditions = machine.get("conditions", [])
    return "; ".join(str(each.get("message")) for each in conditions) or "no reason is known"


def _screen(machine: dict[str, Any], banner: str, guest: FirstGuest, seconds: float) -> str:
    lines = "\n".join(f"    | {line.rstrip()}" for line in banner.splitlines() if line.strip())
    text = f"""
{lines}

  The first machine runs ({seconds:.1f} s): {machine["id"]}
"""
    for address in machine.get("addresses", []):
        if address.get("ip"):
            text += f"    address    {address['ip']}\n"
        if address.get("sshHost") and not guest.simulated:
            text += (
                f"    log in     ssh -i {key_file(guest.data)} -p {address['sshPort']} "
                f"stratus@{address['sshHost']}\n"
            )
    login = f'"admin:$(cat {guest.data.password_file})"'
    return (
        text
        + f"""
  Try    curl -u {login} {machine["id"]}
         curl -u {login} {machine["id"]}/consoleLog
         curl -u {login} -X POST {machine["id"]}/stop
"""
    )
