"""The command line: ``python -m flowtorch COMMAND``."""

from __future__ import annotations

import importlib
import sys

# Each command's module is imported when it is asked for, and has main(argv) -> exit status.
COMMANDS = {
    "run": ("flowtorch.shim.launch", "run a program that says 'import torch' on flowtorch"),
    "difftest": ("flowtorch.testing.difftest.cli", "hold functions, programs and gradients against a reference"),
    "stubs": ("flowtorch.stubs", "write the type stubs that editors and mypy read"),
    "build-kernels": ("flowtorch.native.build", "compile the CPU kernels now, not in the background of a program"),
    "doctor": ("flowtorch.doctor", "say what a program needs of PyTorch and whether it is there"),
    "support": ("flowtorch.support", "list PyTorch's public names: there in full, in part, or not"),
    "tune": ("flowtorch.ops.cuda.tune", "measure configurations of GPU kernels and write the table they come from"),
    "info": ("flowtorch.info", "say what is installed, and which kernels this machine can use"),
}


def usage() -> str:
    """Return the text of ``python -m flowtorch --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {what}" for name, (_, what) in COMMANDS.items()]
    return "usage: python -m flowtorch COMMAND [ARG ...]\n\n" + "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        return importlib.import_module(COMMANDS[argv[0]][0]).main(argv[1:])
    asked = bool(argv) and argv[0] in ("-h", "--help", "help")
    if argv and not asked:
        print(f"python -m flowtorch: there is no command {argv[0]!r}", file=sys.stderr)
    print(usage(), end="", file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


if __name__ == "__main__":
    sys.exit(main())
