from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stratuslab.cloud.hypervisors import Offer, choose, is_passable, lacking, look
from stratuslab.core.errors import ConfigurationError

EVERYTHING = Offer(
    binding=True, daemons=True, qemu=True, images=True, system=True, known_user=True,
    root=True, namespaces=True, bridges=True,
)  # fmt: skip
NO_SYSTEM = replace(EVERYTHING, system=False)
USER = replace(NO_SYSTEM, root=False, namespaces=False, bridges=False)


def test_a_system_libvirt_comes_first() -> None:
    choice = choose("auto", EVERYTHING)
    assert (choice.hypervisor, choice.private, choice.guest_network) == (
        "libvirt",
        False,
        "libvirt",
    )


def test_a_system_libvirt_that_cannot_read_the_images_is_no_use() -> None:
    assert choose("auto", EVERYTHING, passable=False).private


def test_root_gets_a_private_libvirt_with_a_network() -> None:
    choice = choose("auto", NO_SYSTEM)
    assert (choice.private, choice.guest_network) == (True, "libvirt")


def test_without_bridges_and_without_root_guests_get_a_forwarded_port() -> None:
    assert choose("auto", replace(NO_SYSTEM, bridges=False)).guest_network == "user"
    choice = choose("auto", USER)
    assert (choice.private, choice.guest_network) == (True, "user")


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("binding", "libvirt-python"),
        ("daemons", "libvirtd and virtlogd"),
        ("qemu", "qemu-system-x86_64"),
        ("images", "qemu-img"),
        ("known_user", "a name for this user and its group"),
        ("namespaces", "the right to make mount namespaces"),
    ],
)
def test_whatever_is_missing_is_named(part: str, name: str) -> None:
    offer = replace(NO_SYSTEM, **{part: False})
    assert lacking(offer) == (name,)
    choice = choose("auto", offer)
    assert choice.hypervisor == "simulated"
    assert name in choice.why
    with pytest.raises(ConfigurationError, match=name):
        choose("libvirt", offer)


def test_a_system_libvirt_brings_its_own_daemons_and_qemu() -> None:
    offer = replace(EVERYTHING, daemons=False, qemu=False, namespaces=False)
    assert lacking(offer) == ()
    assert lacking(offer, passable=False) != ()


def test_simulated_needs_nothing() -> None:
    assert choose("simulated", Offer()).hypervisor == "simulated"


def test_looking_at_this_machine_changes_nothing_and_answers() -> None:
    assert look() == look()


def test_a_folder_is_passable_when_all_above_it_are(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "data").mkdir(parents=True)
    closed.chmod(0o700)
    assert not is_passable(closed / "data")
