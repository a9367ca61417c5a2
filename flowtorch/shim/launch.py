"""``python -m flowtorch run``: a program in which ``import torch`` gives flowtorch."""

from __future__ import annotations

import importlib.machinery
import os
import runpy
import sys
import types
from pathlib import Path

from flowtorch.shim.finder import STAND_IN, install

USAGE = """usage: python -m flowtorch run SCRIPT [ARG ...]
       python -m flowtorch run -m MODULE [ARG ...]
       python -m flowtorch run -c CODE [ARG ...]
       python -m flowtorch run - [ARG ...]          (the program comes from standard input)

Runs the program as Python itself would, with 'import torch' giving flowtorch,
in its child processes too.
"""


def main(argv: list[str]) -> int:
    """Run the program that the arguments name; return the exit status for bad usage."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE, end="", file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    kind = argv[0] if argv[0] in ("-m", "-c") else ""
    if kind and len(argv) < 2:
        print(f"Argument expected for the {kind} option\n{USAGE}", end="", file=sys.stderr)
        return 2
    if not kind and argv[0] != "-" and not os.path.exists(argv[0]):
        print(f"python -m flowtorch run: can't open file {argv[0]!r}: no such file", file=sys.stderr)
        return 2
    without_file = argv[0] in ("-c", "-")
    _prepare_path("" if without_file else os.getcwd() if kind else str(Path(argv[0]).resolve().parent))
    install()
    try:
        if kind == "-m":
            sys.argv = argv[1:]
            runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
        elif kind == "-c":
            sys.argv = ["-c", *argv[2:]]
            _run_code(argv[1])
        elif argv[0] == "-":
            sys.argv = argv
            _run_code(sys.stdin.read(), "<stdin>")
        else:
            sys.argv = argv
            runpy.run_path(argv[0], run_name="__main__")
    except Exception as error:
        _report(error)
        return 1
    return 0


def _run_code(code: str, file: str = "<string>") -> None:
    main_module = types.ModuleType("__main__")
    sys.modules["__main__"] = main_module  # so that what the code defines can be pickled
    exec(compile(code, file, "exec"), main_module.__dict__)


def _prepare_path(first: str) -> None:
    """Set the path as Python would for the program, and let child processes find flowtorch as torch."""
    if getattr(sys.flags, "safe_path", False):
        if first:
            sys.path.insert(0, first)
    else:
        sys.path[0] = first
    inherited = [STAND_IN]
    if importlib.machinery.PathFinder.find_spec("flowtorch") is None:  # a checkout, started from its root
        root = str(Path(__file__).resolve().parents[2])
        sys.path.append(root)
        inherited.append(root)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(inherited + ([before] if before else []))


def _report(error: Exception) -> None:
    """Print the traceback from the program's own first line on, without the frames of the launcher."""
    skip = {__file__, runpy.__file__, "<frozen runpy>"}
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename in skip:
        tb = tb.tb_next
    sys.excepthook(type(error), error.with_traceback(tb), tb)
