"""The hypervisor driver for libvirt with QEMU: the only place that uses libvirt-python.

libvirt-python is an optional dependency: these modules can be imported without it, and what
needs it raises ConfigurationError then.
"""

from stratuslab.vm_controller.drivers.libvirt.driver import LibvirtHypervisor

__all__ = ["LibvirtHypervisor"]
