"""``python -m flowtorch difftest``: exit status 0 fine, 1 something differs, 2 misuse, 3 cannot run here."""

from __future__ import annotations

import argparse
import sys

from . import ops_command, pack, run_command, seeds_command

COMMANDS = (ops_command, seeds_command, run_command, pack)


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m flowtorch difftest", description=__doc__)
    sub = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.arguments(sub)
    sub.add_parser("implementations", help="list who can compute here").set_defaults(run=implementations)
    options = parser.parse_args(argv)
    try:
        return options.run(options)
    except ImportError as missing:
        print(f"difftest: {missing}", file=sys.stderr)
        return 3
    except ValueError as wrong:
        print(f"difftest: {wrong}", file=sys.stderr)
        return 2


def implementations(options: argparse.Namespace) -> int:
    """Print every known implementation, and why one cannot be had."""
    from .implementations import KNOWN, make

    for name in KNOWN:
        try:
            made = make(name)
        except ImportError as missing:
            print(f"{name:20} not here: {missing}")
        else:
            print(f"{name:20} {'values, memory, errors' if made.faithful else 'values'}")
            made.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
