"""Reads `couchbase.cfg`, the one file a node of an older cloud had, in its three dialects.

The dialects differ in `host` or `hosts`, blanks or commas, `cfg_docid` or `config`, and in the
section: the service's own name, `[cimi]`, `[DEFAULT]`, or none at all. Keys that none of them
had are left alone: the file may serve other programs too. Never shows a password.
"""

from __future__ import annotations

import configparser
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from stratuslab.core.errors import ConfigurationError

COUCHBASE_FILE = Path("/etc/stratuslab/couchbase.cfg")

SECTIONS = ("cimi", "sl-pdc", "sl-vmc")
"""Sections that older services looked into before `[DEFAULT]`."""

_BEFORE_ANY_SECTION = "\0before"
_NO_SECTION = "\0none"
"""Instead of `[DEFAULT]`, which then is a section like any other and inherits to none."""

_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\](:\d{1,5})?|[A-Za-z0-9._-]+(:\d{1,5})?")
_SEPARATOR = re.compile(r"[\s,;]+")


@dataclass(frozen=True)
class CouchbaseAddress:
    """Where a Couchbase cluster is and how to log in."""

    hosts: tuple[str, ...] = ("127.0.0.1",)
    """`host` or `host:port`"""
    bucket: str = "default"
    username: str = ""
    password: str = field(default="", repr=False)
    document: str = ""
    """Key of the service configuration document, where the file named one."""

    @property
    def url(self) -> str:
        """As the setting `store` wants it, without the password."""
        user = f"{quote(self.username, safe='')}@" if self.username else ""
        return f"couchbase://{user}{','.join(self.hosts)}/{quote(self.bucket, safe='')}"


def read_couchbase_cfg(path: Path = COUCHBASE_FILE, service: str = "") -> CouchbaseAddress | None:
    """The file's content for a service, None when there is no such file.

    Raises ConfigurationError when it exists and cannot be read or understood.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}.",
            hint="The user this service runs as must be allowed to read it.",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text.") from error
    return parse_couchbase_cfg(text, service, name=str(path))


def parse_couchbase_cfg(
    text: str, service: str = "", *, name: str = "couchbase.cfg"
) -> CouchbaseAddress:
    """The address in the text; see `read_couchbase_cfg`."""
    values = _values(text, service, name)
    listed = values.get("hosts") or values.get("host") or "127.0.0.1"
    hosts = [each for each in _SEPARATOR.split(listed) if each]
    port = values.get("port", "")
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ConfigurationError(
                f"{name}: {host!r} is no host.", hint="Write names or addresses, host or host:port."
            )
    if port and not port.isdecimal():
        raise ConfigurationError(f"{name}: the port {port!r} is no number.")
    return CouchbaseAddress(
        hosts=tuple(f"{host}:{port}" if port and not _has_port(host) else host for host in hosts),
        bucket=values.get("bucket") or "default",
        username=values.get("username", ""),
        password=values.get("password", ""),
        document=values.get("config") or values.get("cfg_docid") or "",
    )


def _values(text: str, service: str, name: str) -> dict[str, str]:
    """The keys that count: of the service's section, else of `[DEFAULT]`, else of none."""
    parser = configparser.ConfigParser(
        interpolation=None, default_section=_NO_SECTION, strict=False, allow_no_value=True
    )
    try:
        parser.read_string(f"[{_BEFORE_ANY_SECTION}]\n{text}")
    except configparser.MissingSectionHeaderError as error:
        raise ConfigurationError(f"{name} is no configuration file.") from error
    except configparser.ParsingError as error:
        # The faulty lines are not shown: one of them may hold the password.
        lines = ", ".join(str(line - 1) for line, _text in error.errors)
        raise ConfigurationError(
            f"{name} cannot be understood in line {lines}.", hint="Write key = value."
        ) from error
    own = [each for each in (service, *SECTIONS) if each and parser.has_section(each)][:1]
    values: dict[str, str] = {}
    for section in (_BEFORE_ANY_SECTION, "DEFAULT", *own):
        if parser.has_section(section):
            values |= {key: (value or "").strip() for key, value in parser.items(section)}
    return values


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]
