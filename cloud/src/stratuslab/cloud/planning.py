"""Plans a cloud on this machine: looks at it, prepares files and keys, decides ports.

Everything that can be wrong with the machine or the settings is found here, before any process
is started. Starts nothing itself.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace

from stratuslab.cloud.edge.settings import EdgeSettings
from stratuslab.cloud.hypervisors import (
    Choice,
    Offer,
    choose,
    is_passable,
    look,
    search_path,
)
from stratuslab.cloud.kept_choice import host_name, keep, kept_wish
from stratuslab.cloud.layout import DataFolder
from stratuslab.cloud.processes import SERVICES, CloudPlan
from stratuslab.core.bus.credentials import Credentials, read_credentials, write_credentials
from stratuslab.core.bus.server import prepare
from stratuslab.core.bus.server_config import BusUser, new_user
from stratuslab.core.errors import ConfigurationError
from stratuslab.core.security.vault import create_key_file
from stratuslab.core.service.listen import ListenAddress
from stratuslab.core.settings import load
from stratuslab.vm_controller.drivers.libvirt.probe import KVM, domain_type
from stratuslab.vm_controller.settings import AgentSettings

OPERATOR = "operator"
"""The account of the operator's own commands on the bus."""

BUS_PORTS = range(24000, 32000)
"""Below the ports that Linux gives to connections going out: nobody takes a bus' port while it
is being restarted."""

_KEPT = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "TZ", "USER", "XDG_RUNTIME_DIR")


@dataclass(frozen=True)
class Wanted:
    """What the operator asked for."""

    data: DataFolder
    address: str = "127.0.0.1"
    port: int = 8400
    hypervisor: str = "auto"
    hosts: int = 1

    @property
    def listen(self) -> str:
        """Where the front door is to be."""
        return f"{self.address}:{self.port}"


def plan_cloud(wanted: Wanted, environ: Mapping[str, str]) -> CloudPlan:
    """The plan; afterwards the data folder holds keys, accounts and the bus' configuration.

    The data folder exists and is locked. Raises ConfigurationError.
    """
    data = wanted.data
    edge = load(EdgeSettings, environ=environ).settings
    address = ListenAddress.parse(wanted.listen)
    require_free(address)
    choice = _choice(wanted, environ)
    create_key_file(data.vault_key)
    bus_port = free_bus_port()
    plan = CloudPlan(
        data=data,
        listen=wanted.listen,
        url=_url(address, tls=bool(edge.tls_certificate_file)),
        bus_port=bus_port,
        bus_argv=prepare(data.nats, _bus_users(data), port=bus_port).argv,
        choice=choice,
        hosts=wanted.hosts,
        host="host" if choice.hypervisor == "simulated" else host_name(data),
        base=_base_environment(environ),
        settings={name: value for name, value in environ.items() if name.startswith("STRATUSLAB_")},
    )
    try:
        plan = _with_libvirt(plan)
    except ConfigurationError as error:
        if kept_wish(data, wanted.hypervisor) == "libvirt":
            raise
        plan = replace(plan, choice=Choice("simulated", f"simulated, because: {error}"))
    keep(data, plan.choice.hypervisor)
    return plan


def require_free(address: ListenAddress) -> None:
    """Raises ConfigurationError when somebody else listens there, or nobody can."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise ConfigurationError(
                f"The address {address.host}:{address.port} cannot be used: {error.strerror}.",
                hint="Another cloud or program may be there; choose another port with --port.",
            ) from error


def free_bus_port() -> int:
    """A loopback port for the bus. Raises ConfigurationError when none can be found."""
    for port in random.sample(BUS_PORTS, 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ConfigurationError("No free port was found for the bus.")


def _choice(wanted: Wanted, environ: Mapping[str, str]) -> Choice:
    wish = kept_wish(wanted.data, wanted.hypervisor)
    if wish == "simulated":
        return choose(wish, Offer())
    choice = choose(wish, look(), passable=is_passable(wanted.data.path))
    if choice.hypervisor == "simulated":
        return choice
    if wanted.hosts > 1:
        raise ConfigurationError(
            f"This machine is one host; {wanted.hosts} hosts can only be simulated.",
            hint="Leave out --hosts, or add --hypervisor simulated.",
        )
    if not choice.private:
        wanted.data.let_others_pass(host_name(wanted.data))
    agent = load(AgentSettings, environ=environ).settings
    kvm = domain_type(agent.domain_type) == KVM
    return replace(choice, why=f"{choice.why}, {'with KVM' if kvm else 'emulated'}")


def _with_libvirt(plan: CloudPlan) -> CloudPlan:
    """The plan with its libvirt: a private one in the data folder, if that was chosen.

    Raises ConfigurationError when there can be none.
    """
    if not plan.choice.private:
        return plan
    from stratuslab.vm_controller.private_libvirt import InstanceFolder

    folder = InstanceFolder(plan.data.libvirt)
    folder.prepare()
    return replace(
        plan,
        libvirt_uri=folder.uri,
        libvirt_socket=folder.run / "libvirt-sock",
        boot_id=folder.boot_id(),
    )


def _bus_users(data: DataFolder) -> list[BusUser]:
    """One account for each process and one for the operator; made once, kept in secrets."""
    users: list[BusUser] = []
    for name in (*SERVICES, OPERATOR):
        path = data.credentials(name)
        if not path.exists():
            user = new_user(name)
            write_credentials(path, Credentials(user.name, user.password))
        known = read_credentials(path)
        users.append(BusUser(known.user, known.password))
    return users


def _url(address: ListenAddress, *, tls: bool) -> str:
    """How a client on this machine reaches the front door."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104
    scheme = "https" if tls else "http"
    return (
        f"{scheme}://[{host}]:{address.port}"
        if ":" in host
        else f"{scheme}://{host}:{address.port}"
    )


def _base_environment(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: environ[name] for name in _KEPT if name in environ}
    return {**kept, "PATH": search_path(), "PYTHONUNBUFFERED": "1"}
