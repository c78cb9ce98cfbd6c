"""The first page of a Linux swap area, so that a swap disk is ready for `swapon`. Pure."""

from __future__ import annotations

import struct

from stratuslab.vm_controller.drivers.base import DomainRejected

PAGE_BYTES = 4096
LEAST_PAGES = 10
SIGNATURE = b"SWAPSPACE2"
VERSION = 1
HEADER_OFFSET = 1024
"""The first KiB is left to boot sectors; version, last page and bad pages follow."""
LABEL = b"swap"


def swap_header(capacity_bytes: int) -> bytes:
    """The page to write at the start of a disk of this size."""
    pages = capacity_bytes // PAGE_BYTES
    if pages < LEAST_PAGES:
        raise DomainRejected(
            f"{capacity_bytes} bytes are too few for swap space.",
            hint=f"Ask for {LEAST_PAGES * PAGE_BYTES} bytes or more.",
        )
    page = bytearray(PAGE_BYTES)
    last_page = min(pages - 1, 0xFFFFFFFF)
    bad_pages, no_uuid = 0, bytes(16)
    struct.pack_into(
        "<III16s16s", page, HEADER_OFFSET, VERSION, last_page, bad_pages, no_uuid, LABEL
    )
    page[-len(SIGNATURE) :] = SIGNATURE
    return bytes(page)
