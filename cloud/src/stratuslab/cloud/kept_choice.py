"""What the machines of a cloud run with, and what their host is called, stays as it began.

Simulated machines cannot become real ones, nor real ones move because the machine they run on
was given another name over night. Both are kept in the data folder.
"""

from __future__ import annotations

import socket

from stratuslab.cloud.layout import DataFolder
from stratuslab.core.errors import ConfigurationError

_AUTO = "auto"


def kept_wish(data: DataFolder, wish: str) -> str:
    """`auto` becomes what the cloud began with.

    Raises ConfigurationError when something else is wished than what the machines run with.
    """
    try:
        begun = data.hypervisor.read_text().strip()
    except FileNotFoundError:
        return wish
    if wish not in (_AUTO, begun):
        raise ConfigurationError(
            f"The machines of the cloud in {data.path} run with {begun}, and not with {wish}.",
            hint="A cloud of the other kind needs a --data of its own.",
        )
    return begun


def keep(data: DataFolder, hypervisor: str) -> None:
    """From now on the machines of this cloud run with it."""
    data.hypervisor.write_text(f"{hypervisor}\n")


def host_name(data: DataFolder) -> str:
    """The name of the one host: the one it has had, else this machine's."""
    known = [folder.name for folder in data.hosts.iterdir() if folder.is_dir()]
    return known[0] if len(known) == 1 else socket.gethostname().partition(".")[0]
