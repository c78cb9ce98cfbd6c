"""A libvirt of the cloud's own, for machines without a system libvirt, for trials and tests."""

from stratuslab.vm_controller.private_libvirt.instance import PrivateLibvirt
from stratuslab.vm_controller.private_libvirt.instance_folder import InstanceFolder

__all__ = ["InstanceFolder", "PrivateLibvirt"]
