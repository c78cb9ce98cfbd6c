"""KVM only where the processor really offers it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from stratuslab.core.errors import ConfigurationError
from stratuslab.vm_controller.drivers.libvirt.probe import domain_type

PLAIN = "processor\t: 0\nflags\t\t: fpu sse hypervisor\n"
INTEL = "processor\t: 0\nflags\t\t: fpu sse vmx\n"
AMD = "processor\t: 0\nflags\t\t: fpu svm sse\n"


@pytest.mark.parametrize(
    ("device", "cpu", "expected"),
    [
        (True, INTEL, "kvm"),
        (True, AMD, "kvm"),
        (True, PLAIN, "qemu"),
        (True, "", "qemu"),
        (False, INTEL, "qemu"),
        (True, "flags : not-vmx svmx\n", "qemu"),
    ],
)
def test_device_and_processor_decide_together(
    tmp_path: Path, *, device: bool, cpu: str, expected: str
) -> None:
    kvm, cpu_info = tmp_path / "kvm", tmp_path / "cpuinfo"
    if device:
        kvm.touch()
    cpu_info.write_text(cpu)
    assert domain_type(kvm_device=kvm, cpu_info=cpu_info) == expected


def test_a_device_that_cannot_be_opened_is_none(tmp_path: Path) -> None:
    kvm, cpu_info = tmp_path / "kvm", tmp_path / "cpuinfo"
    cpu_info.write_text(INTEL)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(kvm))  # not even root can open a socket as a file
        assert domain_type(kvm_device=kvm, cpu_info=cpu_info) == "qemu"


def test_an_explicit_wish_wins(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    assert domain_type("kvm", kvm_device=nothing, cpu_info=nothing) == "kvm"
    assert domain_type("qemu", kvm_device=nothing, cpu_info=nothing) == "qemu"
    with pytest.raises(ConfigurationError, match="auto, kvm and qemu"):
        domain_type("vmware")
