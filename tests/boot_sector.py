"""The smallest guest: 85 bytes of code in a boot sector, up 50 ms after its BIOS.

It prints a banner on the serial port, and then sleeps. The power button, or the letter `o` on
the serial port, makes it power itself off; `c` makes it report a crash (pvpanic). It echoes
what it reads. Assembled from this source with GNU as (`as --32`, `objcopy -O binary`)::

    .code16
    cli; cld; xorw %ax, %ax; movw %ax, %ds; movw %ax, %ss; movw $0x7c00, %sp
    movw $0x602, %dx; movw $0x0100, %ax; outw %ax, %dx       # PM1 enable: power button
    movw $banner + 0x7c00, %si
    print:  lodsb; testb %al, %al; jz wait
            movw $0x3f8, %dx; outb %al, %dx; jmp print       # COM1
    wait:   sti; hlt                                         # until the next timer tick
            movw $0x600, %dx; inw %dx, %ax; testb $1, %ah; jnz off   # PM1 status
            movw $0x3fd, %dx; inb %dx, %al; testb $1, %al; jz wait   # a byte from COM1?
            movw $0x3f8, %dx; inb %dx, %al; outb %al, %dx            # echo
            cmpb $'o', %al; je off
            cmpb $'c', %al; jne wait
            movw $0x505, %dx; movb $1, %al; outb %al, %dx; jmp wait  # pvpanic
    off:    movw $0x604, %dx; movw $0x2000, %ax; outw %ax, %dx       # ACPI S5
    halt:   hlt; jmp halt
    banner: .asciz "tiny guest runs\\r\\n"
"""

from __future__ import annotations

from pathlib import Path

BANNER = b"tiny guest runs"
CODE = bytes.fromhex(
    "fafc31c08ed88ed0bc007cba0206b80001efbe527cac84c07406baf803eeebf5"
    "fbf4ba0006edf6c401751dbafd03eca80174edbaf803ecee3c6f740c3c6375e0"
    "ba0505b001eeebd8ba0406b80020eff4ebfd"
)
SIGNATURE = b"\x55\xaa"


def write_boot_disk(path: Path) -> None:
    """A raw disk of 1 MiB that boots this guest."""
    sector = (CODE + BANNER + b"\r\n\0").ljust(510, b"\0") + SIGNATURE
    path.write_bytes(sector.ljust(1 << 20, b"\0"))
