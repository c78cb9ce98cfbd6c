"""`python -m stratuslab.vm_controller.private_libvirt --folder DIR`: the instance as a process.

Prints the URI once it answers, runs until SIGTERM or SIGINT. Guests run on afterwards unless
`--stop-guests-at-exit` is given. `--stop-guests` stops them, and the instance, and ends.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from stratuslab.core.errors import ConfigurationError, StratusLabError
from stratuslab.core.service.logging import configure
from stratuslab.vm_controller.private_libvirt.instance import PrivateLibvirt

EXIT_FAILED = 1
EXIT_CONFIGURATION = 2


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code is 2 when this machine cannot run an instance."""
    options = _parser().parse_args(arguments)
    configure("info", "auto", "private-libvirt")
    try:
        asyncio.run(_run(options))
    except ConfigurationError as error:
        print(f"private libvirt: {error}", file=sys.stderr)
        return EXIT_CONFIGURATION
    except StratusLabError as error:
        print(f"private libvirt: {error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


async def _run(options: argparse.Namespace) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if options.stop_guests:
        stopping.set()
    instance = PrivateLibvirt(
        options.folder,
        stop_guests_at_exit=options.stop_guests or options.stop_guests_at_exit,
        grace_seconds=options.grace_seconds,
    )
    async with instance:
        print(instance.uri, flush=True)
        await stopping.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stratuslab.vm_controller.private_libvirt",
        description="Run a private libvirt whose state lies in one folder.",
    )
    parser.add_argument("--folder", type=Path, required=True, help="where its state lies")
    parser.add_argument(
        "--stop-guests-at-exit", action="store_true", help="stop the guests when told to end"
    )
    parser.add_argument(
        "--stop-guests", action="store_true", help="stop the guests and the instance, then end"
    )
    parser.add_argument(
        "--grace-seconds",
        type=float,
        default=10.0,
        help="how long guests may take after the power button (default %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
