"""Ports to hypervisors, guest networks and boot disks, and their adapters."""
