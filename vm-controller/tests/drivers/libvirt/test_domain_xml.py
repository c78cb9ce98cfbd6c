"""Domain XML against golden files, and marks there and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stratuslab.vm_controller.drivers.base import (
    DomainDisk,
    DomainMark,
    DomainRejected,
    DomainSpec,
    GuestInterface,
    PortForward,
)
from stratuslab.vm_controller.drivers.libvirt.domain_xml import (
    console_log,
    domain_xml,
    mark_xml,
    read_mark,
)

BOOT = DomainDisk(path=Path("/data/machines/m/boot.qcow2"), format="qcow2")
SWAP = DomainDisk(path=Path("/data/machines/m/data-0.raw"), format="raw", serial="data-0")
SEED = DomainDisk(
    path=Path("/data/machines/m/seed.iso"), format="raw", read_only=True, serial="cidata"
)
NETWORK = GuestInterface(mac="02:11:22:33:44:55", network="stratuslab-0a1b2c3d")
USER = GuestInterface(
    mac="02:11:22:33:44:55",
    forwards=(PortForward(host_address="127.0.0.1", host_port=22022, guest_port=22),),
)
ALONE = GuestInterface(mac="02:11:22:33:44:55")


def spec(**changes: Any) -> DomainSpec:
    defaults: dict[str, Any] = {
        "id": "0b8f6a1e-6a3d-4c3b-9a55-0d6c9f5d2f01",
        "name": "web.17",
        "cpu": 2,
        "memory_kib": 524288,
        "disks": (BOOT, SWAP, SEED),
        "interface": NETWORK,
        "console_log": Path("/data/consoles/m.log"),
        "mark": DomainMark(cloud_id="cloud-1", generation=3, fence=2, boot_id="b", stopping=True),
    }
    return DomainSpec(**defaults | changes)


@pytest.mark.parametrize(
    ("name", "domain_type", "changes"),
    [
        ("kvm-on-a-network", "kvm", {}),
        ("emulated-on-a-network", "qemu", {}),
        ("emulated-with-a-forwarded-port", "qemu", {"interface": USER}),
        ("smallest", "qemu", {"interface": ALONE, "disks": (BOOT,), "cpu": 1}),
    ],
)
def test_the_xml_is_as_agreed(
    golden: Callable[[str, str], str], name: str, domain_type: str, changes: dict[str, Any]
) -> None:
    made = domain_xml(spec(**changes), domain_type)
    assert made == golden(f"{name}.xml", made)


def test_the_console_log_is_found_in_the_xml() -> None:
    assert console_log(domain_xml(spec(), "qemu")) == Path("/data/consoles/m.log")
    assert console_log("<domain/>") is None


def test_more_disks_than_the_bus_has_room_for_are_refused() -> None:
    with pytest.raises(DomainRejected, match="21 disks"):
        domain_xml(spec(disks=(BOOT,) * 21), "qemu")


names = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"))


@given(
    st.builds(
        DomainMark,
        cloud_id=names,
        generation=st.integers(0, 2**62),
        fence=st.integers(0, 2**62),
        restarts=st.integers(0, 2**31),
        boot_id=names,
        stopping=st.booleans(),
    )
)
def test_a_mark_comes_back_as_it_was_written(mark: DomainMark) -> None:
    assert read_mark(mark_xml(mark)) == mark
    domain = Xml.fromstring(domain_xml(spec(mark=mark), "qemu"))
    element = domain.find("metadata/{*}mark")
    assert element is not None
    assert read_mark(Xml.tostring(element, encoding="unicode")) == mark


@given(names)
def test_no_name_breaks_out_of_its_element(name: str) -> None:
    domain = Xml.fromstring(domain_xml(spec(name=name), "qemu"))
    assert domain.findtext("name") == name
    assert [child.tag for child in domain].count("devices") == 1


@pytest.mark.parametrize("text", ["", "<mark", "<mark/>", "<mark cloudId='c' generation='x'/>"])
def test_a_mark_that_cannot_be_understood_is_none(text: str) -> None:
    assert read_mark(text) is None
