from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from stratuslab.cloud import planning
from stratuslab.cloud.hypervisors import Offer
from stratuslab.cloud.layout import DataFolder
from stratuslab.cloud.planning import BUS_PORTS, Wanted, free_bus_port, plan_cloud, require_free
from stratuslab.core.bus.server_config import Role
from stratuslab.core.errors import ConfigurationError
from stratuslab.core.service.listen import ListenAddress

ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/home/me", "EDITOR": "vi"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    data = DataFolder(tmp_path / "data")
    data.prepare()
    return Wanted(data=data, port=free_port(), hypervisor="simulated")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_keys_and_accounts_are_made_once_and_are_private(wanted: Wanted) -> None:
    data = wanted.data
    plan_cloud(wanted, ENVIRON)
    secrets = {file: file.read_bytes() for file in data.secrets.iterdir()}
    assert {mode(file) for file in secrets} == {0o600}
    assert {file.name for file in secrets} == {
        "vault.key",
        *(f"bus-{name}.json" for name in ("store", "cimi-api", "vm-scheduler", "vm-agent")),
        *("bus-edge.json", "bus-operator.json"),
    }
    plan_cloud(wanted, ENVIRON)
    assert {file: file.read_bytes() for file in data.secrets.iterdir()} == secrets


def test_every_process_is_somebody_else_on_the_bus(wanted: Wanted) -> None:
    plan = plan_cloud(wanted, ENVIRON)
    config = msgspec.json.decode(Path(plan.bus_argv[-1]).read_bytes())
    users = {each["user"]: each["password"] for each in config["authorization"]["users"]}
    assert len(set(users.values())) == len(users) == 6
    assert config["port"] == plan.bus_port
    assert config["jetstream"]["sync_interval"] == "always"
    assert Role.SERVICE


def test_children_get_little_of_the_environment(wanted: Wanted) -> None:
    environ = {**ENVIRON, "STRATUSLAB_LOG_LEVEL": "debug", "AWS_SECRET_ACCESS_KEY": "x"}
    plan = plan_cloud(wanted, environ)
    assert set(plan.base) == {"PATH", "HOME", "PYTHONUNBUFFERED"}
    assert "/usr/sbin" in plan.base["PATH"].split(":")
    assert plan.settings == {"STRATUSLAB_LOG_LEVEL": "debug"}


def test_a_mistyped_setting_is_found_before_anything_starts(wanted: Wanted) -> None:
    with pytest.raises(ConfigurationError, match="STRATUSLAB_LOG_LEVEL"):
        plan_cloud(wanted, {**ENVIRON, "STRATUSLAB_LOG_LEVLE": "debug"})


def test_the_url_tells_how_to_reach_the_door(tmp_path: Path, wanted: Wanted) -> None:
    def url(address: str, **environ: str) -> str:
        told = Wanted(data=wanted.data, address=address, port=wanted.port, hypervisor="simulated")
        return plan_cloud(told, {**ENVIRON, **environ}).url

    assert url("127.0.0.1") == f"http://127.0.0.1:{wanted.port}"
    assert url("0.0.0.0") == f"http://127.0.0.1:{wanted.port}"
    assert url("::1") == f"http://[::1]:{wanted.port}"
    tls = {"STRATUSLAB_EDGE_TLS_CERTIFICATE_FILE": "/etc/ssl/cloud.pem"}
    assert url("127.0.0.1", **tls) == f"https://127.0.0.1:{wanted.port}"


def test_a_port_that_is_taken_is_one_clear_line(wanted: Wanted) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", wanted.port))
        other.listen()
        expected = f"127.0.0.1:{wanted.port} cannot be used: Address already in use"
        with pytest.raises(ConfigurationError, match=expected):
            plan_cloud(wanted, ENVIRON)


def test_an_address_that_is_not_ours_is_one_clear_line() -> None:
    with pytest.raises(ConfigurationError, match="Cannot assign requested address"):
        require_free(ListenAddress("198.51.100.1", 8400))
    with pytest.raises(ConfigurationError, match="cannot be used"):
        require_free(ListenAddress("no.such.host.invalid", 8400))


def test_bus_ports_are_those_no_outgoing_connection_gets() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert not set(BUS_PORTS) & set(range(first, last + 1))
    assert free_bus_port() in BUS_PORTS


def test_more_hosts_than_this_one_can_only_be_simulated(
    wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = Offer(*[True] * 9)
    told = replace(wanted, hypervisor="libvirt", hosts=2)
    monkeypatch.setattr(planning, "look", lambda: everything)
    with pytest.raises(ConfigurationError, match="2 hosts can only be simulated"):
        plan_cloud(told, ENVIRON)


def test_where_no_private_libvirt_can_be_machines_are_simulated_unless_libvirt_is_wanted(
    wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = Offer(*[True] * 9)
    monkeypatch.setattr(planning, "look", lambda: replace(private, system=False))
    wanted.data.libvirt.write_text("a file in the way")
    plan = plan_cloud(replace(wanted, hypervisor="auto"), ENVIRON)
    assert plan.choice.hypervisor == "simulated"
    assert str(wanted.data.libvirt) in plan.choice.why
    with pytest.raises(ConfigurationError, match="libvirt"):
        plan_cloud(replace(wanted, hypervisor="libvirt"), ENVIRON)


def test_a_cloud_keeps_what_its_machines_run_with(
    wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_cloud(wanted, ENVIRON)
    monkeypatch.setattr(planning, "look", lambda: Offer(*[True] * 9))
    again = plan_cloud(replace(wanted, hypervisor="auto"), ENVIRON)
    assert again.choice.hypervisor == "simulated"
    with pytest.raises(ConfigurationError, match="run with simulated, and not with libvirt"):
        plan_cloud(replace(wanted, hypervisor="libvirt"), ENVIRON)


def test_real_machines_never_become_simulated_because_something_is_missing(
    wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = replace(wanted, hypervisor="auto")
    monkeypatch.setattr(planning, "look", lambda: Offer(*[True] * 9))
    assert plan_cloud(real, ENVIRON).choice.hypervisor == "libvirt"
    monkeypatch.setattr(planning, "look", Offer)
    with pytest.raises(ConfigurationError, match="lacks libvirt-python"):
        plan_cloud(real, ENVIRON)


def test_a_host_keeps_its_name_when_the_machine_gets_another(
    wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "look", lambda: Offer(*[True] * 9))
    monkeypatch.setattr("socket.gethostname", lambda: "monday.example")
    real = replace(wanted, hypervisor="libvirt")
    assert plan_cloud(real, ENVIRON).host == "monday"
    (wanted.data.hosts / "monday").mkdir()
    monkeypatch.setattr("socket.gethostname", lambda: "tuesday")
    assert plan_cloud(real, ENVIRON).host == "monday"
