"""The image as a running guest: seed, network, SSH, console, agent channel, power button."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.qemu

StartGuest = Callable[..., Any]
META_DATA = "instance-id: {id}\nlocal-hostname: {name}\npublic-keys:\n  - {key}\n"


def meta_data(key: Any, *, name: str = "box-7", instance: str = "i-1") -> str:
    return META_DATA.format(id=instance, name=name, key=key.public)


USER_DATA = """\
#cloud-config
password: open-sesame
users:
  - default
  - name: ada
    sudo: ALL=(ALL) NOPASSWD:ALL
packages: [vim]
write_files:
  - path: /etc/note
    permissions: '0640'
    content: |
      first
        second \\n stays
bootcmd:
  - echo early > /run/early
runcmd:
  - echo "$(cat /run/early) and late" > /root/order
  - [touch, "/root/it's done"]
"""


@pytest.fixture(scope="module")
def guest(start_guest: StartGuest, key: Any) -> Any:
    """One ready guest for all that only looks at it."""
    seed = {"meta-data": meta_data(key), "user-data": USER_DATA}
    running = start_guest(seed, key=key)
    running.ready = running.wait_ready()
    return running


def test_tells_name_address_and_time_on_the_console(guest: Any) -> None:
    assert guest.ready["name"] == "box-7"
    assert guest.ready["address"] == "10.0.2.15"
    assert guest.ready["ssh"] == "yes"
    assert float(guest.ready["uptime"]) < 30
    assert "Welcome to box-7, a StratusLab machine at address 10.0.2.15" in guest.console


@pytest.mark.parametrize("user", ["ada", "root"])
def test_key_of_the_seed_opens_ssh(guest: Any, user: str) -> None:
    assert guest.ssh("id -un; hostname", user=user).split() == [user, "box-7"]


def test_ssh_takes_no_password(guest: Any) -> None:
    with pytest.raises(AssertionError, match=r"Permission denied \(publickey\)"):
        guest.ssh("true", options=("-o", "PubkeyAuthentication=no"))


def test_user_data_is_carried_out_in_order(guest: Any) -> None:
    guest.wait_for("STRATUSLAB USERDATA status=0")
    shown = guest.ssh("cat /root/order; ls /root; stat -c %a /etc/note; cat /etc/note")
    assert shown == "early and late\nit's done\norder\n640\nfirst\n  second \\n stays\n"


def test_unsupported_keys_are_named_not_hidden(guest: Any) -> None:
    assert "stratuslab: seed: not supported by this image, ignored: packages" in guest.console


def test_files_belong_to_root_whoever_built_the_image(guest: Any) -> None:
    assert guest.ssh("find / -xdev -not -user root -not -path '/home/*'") == ""


def test_console_lets_in_who_has_a_password(guest: Any) -> None:
    guest.wait_for("box-7 login: ")
    with guest.connect("console.socket") as console:
        for text, answer in (
            (b"ada", b"Password: "),
            (b"open-sesame", b"$ "),
            (b"echo I am $(id -un)", b"I am ada"),
        ):
            console.sendall(text + b"\n")
            shown = b""
            while answer not in shown:
                shown += console.recv(4096)


def test_agent_channel_answers_line_for_line(guest: Any) -> None:
    for _ in range(2):  # a host that comes back finds the channel open again
        with guest.connect("agent") as channel, channel.makefile("rw") as stream:
            answers = []
            for request in ("ping\r", "name", "address", "uptime", "sing"):
                stream.write(request + "\n")
                stream.flush()
                answers.append(stream.readline().split(maxsplit=1))
        assert answers[:3] == [["pong"], ["name", "box-7\n"], ["address", "10.0.2.15\n"]]
        assert answers[3][0] == "uptime"
        assert float(answers[3][1]) > 0
        assert answers[4][0] == "error"


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_power_button_and_reset_work(start_guest: StartGuest, key: Any, machine: str) -> None:
    guest = start_guest({"meta-data": meta_data(key)}, machine=machine, key=key)
    guest.wait_ready()
    if machine == "q35":
        guest.monitor("system_reset")
        guest.wait_ready(times=2)
    guest.monitor("system_powerdown")
    assert guest.wait_end() < 10  # about 2 s on an idle machine
    assert "stratuslab: going down" in guest.console


def test_what_is_written_stays_and_a_copy_becomes_a_new_instance(
    start_guest: StartGuest, key: Any, image: Path, fresh_disk: Path
) -> None:
    script = "#!/bin/sh\necho run >> /root/runs\n"
    ends = []
    for instance in ("i-1", "i-1", "i-2"):
        seed = {"meta-data": meta_data(key, instance=instance), "user-data": script}
        guest = start_guest(seed, key=key, disk=fresh_disk)
        guest.wait_ready()
        if len(ends) != 1:
            guest.wait_for("STRATUSLAB USERDATA status=0")
        show = "cat /root/runs; dropbearkey -y -f /etc/dropbear/ed25519 | tail -n 1; poweroff"
        runs, fingerprint = guest.ssh(show).rsplit("\n", 2)[:2]
        guest.wait_end()
        ends.append((runs.split(), fingerprint))
    (first, key_1), (second, key_2), (third, key_3) = ends
    assert (first, second, third) == (["run"], ["run"], ["run", "run"])
    assert key_1 == key_2 != key_3


def test_json_seed_with_static_address(start_guest: StartGuest, key: Any) -> None:
    interface = {"addresses": ["10.0.2.77/24"], "gateway4": "10.0.2.2"}
    seed = {
        "meta-data": json.dumps(
            {
                "instance-id": "i-9",
                "local-hostname": "static.example.org",
                "public-keys": {"0": {"openssh-key": key.public}},
            }
        ),
        "network-config": json.dumps({"version": 2, "ethernets": {"eth0": interface}}),
        "user-data": '#cloud-config\n{"disable_root": true, "runcmd": ["exit 3"]}\n',
    }
    guest = start_guest(seed, key=key)
    ready = guest.wait_ready()
    assert (ready["name"], ready["address"], ready["ssh"]) == ("static", "10.0.2.77", "yes")
    guest.wait_for("STRATUSLAB USERDATA status=3")


def test_malformed_seed_still_boots_and_says_what_is_wrong(start_guest: StartGuest) -> None:
    seed = {
        "meta-data": "instance-id: [open\n",
        "user-data": "#cloud-config\nruncmd:\n  - ok\n nonsense\n",
        "network-config": "version: 1\nconfig: []\n",
    }
    guest = start_guest(seed)
    ready = guest.wait_ready()
    assert (ready["name"], ready["ssh"]) == ("stratus", "no")
    assert ready["address"] == "10.0.2.15"
    assert "seed: meta-data ignored: line 1: a bracket or brace is not closed" in guest.console
    assert "seed: user-data ignored: line 4: " in guest.console
    assert "seed: network-config ignored: only version 2" in guest.console


def test_without_seed_and_network_it_still_boots_and_hears_the_agent_channel(
    start_guest: StartGuest, tmp_path: Path
) -> None:
    garbage = tmp_path / "garbage"
    content = bytearray(b"\xa5" * 65536)
    content[32808:32840] = b"cidata".ljust(32)
    garbage.write_bytes(content)
    guest = start_guest(garbage, network=False)
    ready = guest.wait_ready()
    assert (ready["address"], ready["ssh"]) == ("none", "no")
    assert "is labelled cidata but is neither ISO 9660 nor FAT" in guest.console
    with guest.connect("agent") as channel:
        channel.sendall(b"shutdown\n")
        assert channel.recv(100) == b"shutdown started\n"
    guest.wait_end()


def test_network_without_an_answer_delays_ready_by_a_bound(start_guest: StartGuest) -> None:
    guest = start_guest(None, network="silent")
    ready = guest.wait_ready()
    assert ready["address"] == "none"
    assert "no disk labelled cidata" in guest.console
    assert float(ready["uptime"]) < 30  # 6 s for DHCP, 3 s for the rest on an idle machine
