"""`python -m stratuslab.vm_controller.drivers.simulated FOLDER HOST ACTION`: play fate.

Owns the command line only; `outside` does the work.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stratuslab.core.errors import StratusLabError
from stratuslab.vm_controller.drivers.simulated import history, outside
from stratuslab.vm_controller.drivers.simulated.behaviour import NORMAL, PRESETS


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 when done, 1 when it could not be done, with a sentence on stderr."""
    options = _parser().parse_args(arguments)
    try:
        return _act(options)
    except (StratusLabError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _act(options: argparse.Namespace) -> int:
    folder, host = options.folder, options.host
    match options.action:
        case "list":
            for domain in outside.list_domains(folder, host):
                print(domain.id, domain.state, domain.stop_reason or "-", domain.name)
        case "halt":
            outside.halt(folder, host, options.id)
        case "crash":
            outside.crash(folder, host, options.id)
        case "reboot-host":
            print(outside.reboot_host(folder, host))
        case "start-foreign":
            print(outside.start_foreign(folder, host, options.name))
        case "behave":
            behaviour = PRESETS[options.preset]
            outside.behave(folder, host, None if behaviour is NORMAL else behaviour)
        case "check":
            breaches = history.check_journals(folder)
            print("\n".join(breaches) if breaches else "No breach of any law.")
            return 1 if breaches else 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stratuslab.vm_controller.drivers.simulated",
        description="Let things happen on a simulated host without the cloud's doing.",
    )
    parser.add_argument("folder", type=Path, help="the folder of all simulated hosts")
    parser.add_argument("host", help="the host's name: a folder in it")
    actions = parser.add_subparsers(dest="action", required=True, metavar="action")
    actions.add_parser("list", help="show the domains: id, state, stop reason, name")
    for name, happening in (("halt", "powers itself off"), ("crash", "crashes")):
        action = actions.add_parser(name, help=f"the guest {happening}")
        action.add_argument("id", help="the domain's UUID")
    actions.add_parser("reboot-host", help="the host reboots; prints its new boot id")
    foreign = actions.add_parser("start-foreign", help="start a domain that is not the cloud's")
    foreign.add_argument("name")
    behave = actions.add_parser("behave", help="give the host other manners, at once")
    behave.add_argument("preset", choices=sorted(PRESETS))
    actions.add_parser("check", help="look for breaches of law in the journals of all hosts")
    return parser


if __name__ == "__main__":
    sys.exit(main())
