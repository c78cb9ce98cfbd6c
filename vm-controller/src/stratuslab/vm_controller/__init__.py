"""Machines: the scheduler, the node agent and the hypervisor drivers."""
