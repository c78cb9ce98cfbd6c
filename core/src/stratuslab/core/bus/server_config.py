"""What a nats-server of this cloud is told: where it listens, what it stores, who may say what.

Pure: turns settings into the text of a configuration file (JSON, which nats-server reads).
Must not start anything; `server` does.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

MAX_PAYLOAD_BYTES = 1024 * 1024
MAX_STORE_BYTES = 4 * 1024**3
_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
EPHEMERAL_PORT = -1
"""nats-server's own word for "any free port"; it tells which in its ports file."""


class Role(StrEnum):
    """What a user of the bus is for."""

    SERVICE = "service"
    """A process of the cloud."""
    OBSERVER = "observer"
    """Listens to integration events as they happen; sends nothing."""


class Permissions(msgspec.Struct, frozen=True):
    """Subjects a role may use. `{user}` stands for the user's name."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    may_reply: bool
    """Whether it may send one reply to the inbox of whoever asked it."""


PERMISSIONS: Mapping[Role, Permissions] = {
    Role.SERVICE: Permissions(
        publish=("sl.>", "$JS.API.>", "$JS.ACK.>", "_INBOX_{user}.>"),
        subscribe=("sl.>", "_INBOX_{user}.>"),
        may_reply=True,
    ),
    Role.OBSERVER: Permissions(
        publish=(), subscribe=("sl.*.v1.evt.>", "_INBOX_{user}.>"), may_reply=False
    ),
}


@dataclass(frozen=True)
class BusUser:
    """An account of the bus. `name` is `[A-Za-z0-9-]`: it becomes part of a subject."""

    name: str
    password: str
    role: Role = Role.SERVICE

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} cannot be the name of a bus user")

    def __repr__(self) -> str:
        return f"BusUser(name={self.name!r}, role={self.role!s})"


def new_user(name: str, role: Role = Role.SERVICE) -> BusUser:
    """A user with a new random password."""
    return BusUser(name, secrets.token_urlsafe(32), role)


def inbox_prefix(user: str) -> str:
    """Where replies to this user go; nobody else can subscribe there."""
    return f"_INBOX_{user}"


def server_config(
    folder: Path, users: Sequence[BusUser], *, port: int = EPHEMERAL_PORT, name: str = "stratuslab"
) -> bytes:
    """The configuration of a single nats-server that listens on loopback.

    Everything it writes lies in `folder`. Without a user from `users` nobody gets in.
    """
    config: dict[str, Any] = {
        "server_name": name,
        "host": "127.0.0.1",
        "port": port,
        "pid_file": str(folder / "nats-server.pid"),
        "ports_file_dir": str(folder),
        "max_payload": MAX_PAYLOAD_BYTES,
        "write_deadline": "5s",
        "ping_interval": "20s",
        "jetstream": {
            "store_dir": str(folder),  # the server makes a folder "jetstream" in it
            # Without it an acknowledged message may be lost with a loss of power.
            "sync_interval": "always",
            "max_memory_store": 0,
            "max_file_store": MAX_STORE_BYTES,
        },
        "authorization": {"timeout": 5, "users": [_user_entry(user) for user in users]},
    }
    return msgspec.json.format(msgspec.json.encode(config), indent=2)


def _user_entry(user: BusUser) -> dict[str, Any]:
    allowed = PERMISSIONS[user.role]

    def rule(subjects: tuple[str, ...]) -> dict[str, Any]:
        expanded = [subject.format(user=user.name) for subject in subjects]
        return {"allow": expanded} if expanded else {"deny": [">"]}

    permissions: dict[str, Any] = {
        "publish": rule(allowed.publish),
        "subscribe": rule(allowed.subscribe),
    }
    if allowed.may_reply:
        permissions["allow_responses"] = {"max": 1, "expires": "1m"}
    return {"user": user.name, "password": user.password, "permissions": permissions}
