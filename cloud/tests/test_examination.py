from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from stratuslab.cloud import examination
from stratuslab.cloud.examination import Finding, as_root, examine, loose_settings
from stratuslab.cloud.hypervisors import Offer
from stratuslab.cloud.layout import DataFolder
from stratuslab.vm_controller.private_libvirt import instance_folder

NOTHING = Offer(root=True)
EVERYTHING = Offer(*[True] * 9)


def findings(data: Path, port: int = 1, offer: Offer = NOTHING) -> dict[str, Finding]:
    return {each.name: each for each in examine(DataFolder(data), port, offer)}


def test_what_is_missing_for_guests_is_named_with_what_mends_it(tmp_path: Path) -> None:
    found = findings(tmp_path / "data")
    for name in ("libvirt-python", "qemu-img", "libvirtd and virtlogd", "qemu-system-x86_64"):
        assert not found[name].ok
        assert found[name].need == "guests"
        assert "apt-get install" in found[name].mend
    whole = findings(tmp_path / "data", offer=EVERYTHING)
    assert whole["real guests"].ok
    assert not {"libvirt-python", "qemu-img"} & set(whole)


def test_every_finding_that_is_not_in_order_says_what_to_do(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 80)
    for offer in (NOTHING, EVERYTHING, replace(EVERYTHING, root=False, bridges=False)):
        for each in findings(long, offer=offer).values():
            assert each.found
            assert each.ok or each.mend, each


def test_the_data_folder_is_examined_where_it_will_be(tmp_path: Path) -> None:
    found = findings(tmp_path / "a" / "b")
    assert found["data folder"].ok
    assert found["data folder"].found.endswith(f"to be made in {tmp_path}")
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").touch()
    assert not findings(tmp_path / "file")["data folder"].ok
    assert not findings(tmp_path / ("x" * 90))["socket paths"].ok


def test_a_taken_port_is_found(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        finding = findings(tmp_path, port=other.getsockname()[1])["port"]
    assert not finding.ok
    assert finding.mend == "choose another one with --port"


def test_a_foreign_package_that_hides_the_namespace_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert findings(tmp_path)["package namespace"].ok
    (tmp_path / "old" / "stratuslab").mkdir(parents=True)
    (tmp_path / "old" / "stratuslab" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "old")
    import importlib
    import sys

    kept = sys.modules.pop("stratuslab", None)
    try:
        importlib.invalidate_caches()
        finding = findings(tmp_path)["package namespace"]
    finally:
        if kept is not None:
            sys.modules["stratuslab"] = kept
    assert not finding.ok
    assert "hidden by" in finding.found


def test_settings_for_private_instances_are_refused_in_the_systems_libvirt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "qemu.conf"
    monkeypatch.setattr(examination, "SYSTEM_QEMU_CONF", conf)
    conf.write_text('#user = "root"\n#security_driver = "none"\n')
    assert findings(tmp_path, offer=EVERYTHING)["confinement"].ok
    conf.write_text(instance_folder.QEMU_CONF)
    assert loose_settings(conf) == sorted(examination.PRIVATE_ONLY)
    finding = findings(tmp_path, offer=EVERYTHING)["confinement"]
    assert (finding.ok, finding.need) == (False, "cloud")
    assert findings(tmp_path)["confinement"].need == ""


def test_commands_for_root_are_given_as_one_has_to_type_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert as_root("apt-get install x") == "sudo apt-get install x"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert as_root("apt-get install x") == "apt-get install x"
