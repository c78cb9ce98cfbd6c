from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from stratuslab.cloud.hypervisors import Choice
from stratuslab.cloud.layout import DataFolder
from stratuslab.cloud.processes import STOP_SECONDS, CloudPlan, Program, Stage, programs
from stratuslab.core.settings import load_all, settings_classes

PLAN = CloudPlan(
    data=DataFolder(Path("/srv/cloud")),
    listen="127.0.0.1:8400",
    url="http://127.0.0.1:8400",
    bus_port=24001,
    bus_argv=("nats-server", "--config", "/srv/cloud/nats/nats-server.conf"),
    choice=Choice("simulated", "as asked"),
    hosts=3,
    base={"PATH": "/usr/bin"},
)
PRIVATE = replace(
    PLAN,
    choice=Choice("libvirt", "", private=True, guest_network="user"),
    libvirt_uri="qemu:///session?socket=/srv/cloud/libvirt/run/libvirt-sock",
    libvirt_socket=Path("/srv/cloud/libvirt/run/libvirt-sock"),
    boot_id="boot/1",
)


def by_name(plan: CloudPlan) -> dict[str, Program]:
    return {program.name: program for program in programs(plan)}


@pytest.mark.parametrize("plan", [PLAN, PRIVATE])
def test_every_service_understands_the_settings_it_gets(plan: CloudPlan) -> None:
    for program in programs(plan):
        load_all(list(settings_classes()), environ=program.environment, file=None)


def test_every_process_has_a_module_and_tells_when_it_is_ready() -> None:
    for program in programs(PRIVATE):
        assert program.ops_file or program.port or program.socket
        if "-m" in program.argv:
            assert find_spec(program.argv[program.argv.index("-m") + 1]) is not None


def test_processes_get_little_of_the_environment_and_the_mark_of_their_cloud() -> None:
    for name, program in by_name(PLAN).items():
        foreign = {each for each in program.environment if not each.startswith("STRATUSLAB_")}
        assert foreign == {"PATH", "SUPERVISED_BY_STRATUSLAB", "SUPERVISED_AS"}
        assert program.environment["SUPERVISED_AS"] == name


def test_the_operators_settings_reach_services_but_cannot_unwire_them() -> None:
    own = {
        "STRATUSLAB_LOG_LEVEL": "debug",
        "STRATUSLAB_STORE": "memory:",
        "STRATUSLAB_VM_AGENT_HOST": "mine",
        "STRATUSLAB_VM_AGENT_FOLDER": "/elsewhere",
    }
    agent = by_name(replace(PLAN, settings=own))["vm-agent"].environment
    assert agent["STRATUSLAB_LOG_LEVEL"] == "debug"
    assert agent["STRATUSLAB_VM_AGENT_HOST"] == "mine"
    assert agent["STRATUSLAB_STORE"] == "sqlite:/srv/cloud/store"
    assert agent["STRATUSLAB_VM_AGENT_FOLDER"] == "/srv/cloud/hosts"


def test_no_secret_stands_in_arguments_or_environment() -> None:
    for program in programs(PRIVATE):
        values = [*program.argv, *program.environment.values()]
        assert not [each for each in values if "password=" in each]
        assert not {each for each in program.environment if each.endswith(("_KEY", "_PASSWORD"))}


def test_a_private_libvirt_stops_its_guests_and_only_it_is_started() -> None:
    assert "libvirt" not in by_name(PLAN)
    libvirt = by_name(PRIVATE)["libvirt"]
    assert "--stop-guests-at-exit" in libvirt.argv
    agent = by_name(PRIVATE)["vm-agent"].environment
    assert agent["STRATUSLAB_VM_AGENT_LIBVIRT_URI"] == PRIVATE.libvirt_uri
    assert agent["STRATUSLAB_VM_AGENT_BOOT_ID"] == "boot/1"


def test_services_stop_before_what_they_stand_on_and_all_in_fifteen_seconds() -> None:
    stages = {name: program.stage for name, program in by_name(PRIVATE).items()}
    assert stages["edge"] > stages["cimi-api"] > stages["store"] > stages["nats"]
    assert stages["vm-agent"] > stages["libvirt"]
    assert set(STOP_SECONDS) == set(Stage)
    assert sum(STOP_SECONDS.values()) <= 15
