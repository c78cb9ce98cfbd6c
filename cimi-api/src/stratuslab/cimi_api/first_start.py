"""What a new cloud begins with: the account `admin` and the seven instance types.

Written once, as one group, together with a mark that it was done; so whatever an administrator
changes or removes later stays changed or removed, and any number of fronts may start at once.
"""

from __future__ import annotations

import os
import secrets
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid5

import structlog

from stratuslab.cimi_api.ports import Passwords
from stratuslab.core.claims import claim
from stratuslab.core.contracts import CLAIM, MachineConfiguration, User
from stratuslab.core.contracts.machine import DiskSpec
from stratuslab.core.documents import Acl, Rule, now
from stratuslab.core.documents.frame import ADMINISTRATOR, ANY_USER
from stratuslab.core.errors import AlreadyExists, ConfigurationError
from stratuslab.core.security.passwords import random_password
from stratuslab.core.store import Insert, Store

log = structlog.get_logger()

MARK = "first-start/cimi-api"
ADMIN = "admin"

_IDS = UUID("6f0d1a52-7e0c-5b0e-9a53-6a1f0e9d2c11")
_FOR_EVER_SECONDS = 100 * 365.25 * 24 * 3600
_MIB = 1024**2


class InstanceType(NamedTuple):
    """One of StratusLab's sizes of machine."""

    name: str
    cpu: int
    memory_mib: int
    swap_mib: int


INSTANCE_TYPES = (
    InstanceType("t1.micro", 1, 512, 512),
    InstanceType("m1.small", 1, 1536, 1536),
    InstanceType("m1.medium", 1, 3072, 3072),
    InstanceType("m1.large", 2, 6144, 6144),
    InstanceType("m1.xlarge", 4, 8192, 8192),
    InstanceType("c1.medium", 2, 1536, 1536),
    InstanceType("c1.xlarge", 4, 6144, 6144),
)


async def ensure_first_start(store: Store, passwords: Passwords, password_file: Path) -> bool:
    """Fills an empty cloud. True if this call did it.

    The password of `admin` is random and stands in `password_file` only, which its owner alone
    can read. Raises ConfigurationError when the file cannot be written, Unavailable, Ambiguous.
    """
    if await store.revision(CLAIM, MARK) is not None:
        return False
    password = keep_password(password_file)
    at = now()
    mark = claim(MARK, MARK, at=at, keep_seconds=_FOR_EVER_SECONDS)
    administrator = _administrator(await passwords.hash(password), at)
    types = [
        _configuration(each, at + timedelta(milliseconds=place))  # listed in this order
        for place, each in enumerate(INSTANCE_TYPES)
    ]
    try:
        await store.atomic([Insert(mark), Insert(administrator), *(Insert(each) for each in types)])
    except AlreadyExists:
        return False
    log.info("cloud.first_start", administrator=ADMIN, password_file=str(password_file))
    return True


def keep_password(file: Path) -> str:
    """The password in the file, which is made with a new one if it is missing.

    The file appears complete or not at all, so an interrupted first start goes on with it.
    Raises ConfigurationError.
    """
    draft = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(f"{random_password()}\n")
                stream.flush()
                os.fsync(stream.fileno())
            try:
                os.link(draft, file)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return file.read_text().strip()
    except OSError as error:
        raise ConfigurationError(
            f"The administrator's password cannot be kept in {file}: {error.strerror}.",
            hint="Set admin_password_file to a place this service may write to.",
        ) from error


def _administrator(password_hash: str, at: datetime) -> User:
    id = str(uuid5(_IDS, ADMIN))
    return User(
        id=id,
        owner=id,
        acl=Acl(ADMINISTRATOR, [Rule(f"user/{id}", "MODIFY")]),
        name=ADMIN,
        created=at,
        updated=at,
        password_hash=password_hash,
        roles=["ADMIN"],
    )


def _configuration(type: InstanceType, at: datetime) -> MachineConfiguration:
    return MachineConfiguration(
        id=str(uuid5(_IDS, type.name)),
        acl=Acl(ADMINISTRATOR, [Rule(ANY_USER, "VIEW")]),
        name=type.name,
        created=at,
        updated=at,
        cpu=type.cpu,
        memory_kib=type.memory_mib * 1024,
        disks=[DiskSpec(capacity_bytes=type.swap_mib * _MIB, format="swap")],
    )
