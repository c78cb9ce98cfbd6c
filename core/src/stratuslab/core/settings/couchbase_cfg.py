"""Reads `couchbase.cfg`, the one file a node of an older cloud had, in its three dialects.

The dialects differ in `host` or `hosts`, blanks or commas, `cfg_docid` or `config`, and in the
section: the service's own name, `[cimi]`, `[DEFAULT]`, or none at all. Never shows a password.
"""

from __future__ import annotations

import configparser
import re
from dataclasses import dataclass, field
from pathlib import Path

from stratuslab.core.errors import ConfigurationError

SECTIONS = ("cimi", "sl-pdc", "sl-vmc")
"""Sections that older services looked into before `[DEFAULT]`."""
KNOWN = frozenset(
    {"host", "hosts", "port", "bucket", "username", "password", "config", "cfg_docid"}
)


@dataclass(frozen=True)
class CouchbaseAddress:
    """Where a Couchbase cluster is and how to log in."""

    hosts: tuple[str, ...] = ("127.0.0.1",)
    bucket: str = "default"
    username: str = ""
    password: str = field(default="", repr=False)
    document: str = ""
    """Key of the service configuration document, where the file named one."""

    @property
    def url(self) -> str:
        """As the setting `store` wants it, without the password."""
        user = f"{self.username}@" if self.username else ""
        return f"couchbase://{user}{','.join(self.hosts)}/{self.bucket}"


def read_couchbase_cfg(path: Path, section: str = "") -> CouchbaseAddress | None:
    """The file's content for a service, None when there is no such file.

    Raises ConfigurationError when it exists and is unreadable or has an unknown key.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    return parse_couchbase_cfg(text, section, name=str(path))


def parse_couchbase_cfg(text: str, section: str = "", *, name: str = "") -> CouchbaseAddress:
    """The address in the text; see `read_couchbase_cfg`."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text if _begins_with_section(text) else "[DEFAULT]\n" + text)
    except configparser.Error as error:
        line = str(error).splitlines()[0]
        raise ConfigurationError(f"{name} is no configuration file: {line}.") from error
    chosen = next((each for each in (section, *SECTIONS) if parser.has_section(each)), "DEFAULT")
    values = {key: value.strip() for key, value in parser[chosen].items()}
    unknown = sorted(set(values) - KNOWN)
    if unknown:
        raise ConfigurationError(
            f"{name} has unknown keys: {', '.join(unknown)}.",
            hint=f"Known are {', '.join(sorted(KNOWN))}.",
        )
    hosts = tuple(re.split(r"[\s,]+", values.get("hosts") or values.get("host") or "127.0.0.1"))
    port = values.get("port", "")
    return CouchbaseAddress(
        hosts=tuple(f"{host}:{port}" if port and ":" not in host else host for host in hosts),
        bucket=values.get("bucket") or "default",
        username=values.get("username", ""),
        password=values.get("password", ""),
        document=values.get("config") or values.get("cfg_docid") or "",
    )


def _begins_with_section(text: str) -> bool:
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and line[0] not in "#;"), "")
    return first.startswith("[")
