"""``python -m flowtorch support``: which of PyTorch's public names are there, in full, in part or not at all.

A name is absent if it cannot be had, or is a function that only says why not. What is there in part, and what is
missing of it, stands in ``PARTLY``.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

from flowtorch.shim import names

FULL, PARTIAL, ABSENT = "full", "partial", "absent"
# For a name and all below it: what is missing.
PARTLY = {
    "torch.compile": "runs the callable as it is; a module comes back in an OptimizedModule, as in PyTorch",
    "torch.compiler": "advice to a compiler is taken and changes nothing",
    "torch._dynamo": "advice to a compiler is taken and changes nothing",
    "torch.jit": "functions and modules stay Python, as with PYTORCH_JIT=0; no programs are saved or run",
    "torch.ScriptModule": "an ordinary module",
    "torch.ScriptFunction": "a type only",
    "torch.CompilationUnit": "a type only",
    "torch.onnx": "questions are answered; nothing is exported",
    "torch.profiler": "the time of calls on the CPU; no memory, stacks or devices",
    "torch.autograd.profiler": "the time of calls on the CPU; no memory, stacks or devices",
    "torch.distributed": "questions are answered; there is one process",
    "torch.nn.parallel": "one process",
    "torch.hub.load": "from a local folder",
    "torch.xpu": "truthful: there is no such device",
    "torch.mps": "truthful: there is no such device",
    "torch.mtia": "truthful: there is no such device",
    "torch.cuda.graphs": "types only",
    "torch.cuda.CUDAGraph": "a type only",
    "torch.cuda.graph": "a type only",
    "torch.SymInt": "a type only: sizes are ints",
    "torch.SymFloat": "a type only",
    "torch.SymBool": "a type only",
    "torch.set_flush_denormal": "returns False: numpy cannot",
    "torch.set_float32_matmul_precision": "kept; products are always exact",
    "torch.backends": "switches are kept; one set of kernels per device",
    "torch.utils.cpp_extension": "refuses, and says what to do",
}


def note(name: str) -> str | None:
    """Return what is missing of a name that is there in part, or None."""
    fits = [prefix for prefix in PARTLY if f"{name}.".startswith(f"{prefix}.")]
    return PARTLY[max(fits, key=len)] if fits else None


@functools.cache
def status(name: str) -> tuple[str, str]:
    """Return (full, partial or absent; what is missing) for a dotted name that begins with ``torch``."""
    value = find(name)
    if value is None:
        return ABSENT, ""
    if refuses(value[0]):
        return ABSENT, "says so when it is called"
    missing = note(name)
    return (FULL, "") if missing is None else (PARTIAL, missing)


def find(name: str) -> tuple[Any] | None:
    """Return (object,) for a dotted name of PyTorch's, or None if it cannot be had."""
    own = sys.modules["flowtorch"]
    value: Any = own
    parts = name.split(".")[1:]
    for i, part in enumerate(parts):
        try:
            value = getattr(value, part)
        except AttributeError:
            if not isinstance(value, ModuleType):
                return None
            try:
                value = importlib.import_module(".".join(["flowtorch", *parts[: i + 1]]))
            except ImportError:
                return None
        except Exception:  # a property that asks for what this machine lacks: there is nothing to describe
            return None
        if hasattr(type(value), "_refuse"):  # what stands for an absent name
            return None
    return (value,)


def refuses(value: Any) -> bool:
    """Say whether a function never returns, by its own account."""
    if not inspect.isfunction(value):
        return False
    return value.__annotations__.get("return") in ("NoReturn", "typing.NoReturn")


def table() -> dict[str, dict[str, tuple[str, str]]]:
    """Return module -> name -> status, for all public names of PyTorch."""
    found = {}
    for module, listed in sorted(names.public().items()):
        if not any(part.startswith("_") for part in module.split(".")):
            found[module] = {name: status(f"{module}.{name}") for name in sorted(listed)}
    return found


def document() -> str:
    """Return the support tables as Markdown."""
    from flowtorch.shim import VERSION

    rows = table()
    total = Counter(kind for listed in rows.values() for kind, _ in listed.values())
    count = sum(total.values())
    lines = [
        f"# PyTorch {VERSION}'s public names in flowtorch",
        "",
        "Written by `python -m flowtorch support --write docs/support.md`. A name counts once for each module that "
        "lists it. Whether a name computes what PyTorch computes is a matter of the tests, not of this table.",
        "",
        f"Of {count} names {total[FULL]} are there in full, {total[PARTIAL]} in part, {total[ABSENT]} not.",
        "",
        "| module or class | full | partial | absent |",
        "|---|--:|--:|--:|",
    ]
    whole = []
    for module, listed in rows.items():
        kinds = Counter(kind for kind, _ in listed.values())
        if kinds[FULL] or kinds[PARTIAL]:
            lines.append(f"| {module} | {kinds[FULL]} | {kinds[PARTIAL]} | {kinds[ABSENT]} |")
        else:
            whole.append(module)
    lines += ["", "## There in part", "", "| name | what is missing |", "|---|---|"]
    lines += [f"| {name} | {missing} |" for name, missing in sorted(PARTLY.items())]
    lines += ["", "## Absent", ""]
    for module, listed in rows.items():
        absent = [name for name, (kind, _) in listed.items() if kind == ABSENT]
        if absent and module not in whole:
            lines.append(f"- **{module}**: {', '.join(absent)}")
    lines += ["", "Modules of which nothing is there: " + ", ".join(whole) + "."]
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> int:
    """Print the tables as Markdown or JSON, or write them to a file."""
    if argv == ["--json"]:
        print(json.dumps(table(), indent=1))
    elif len(argv) == 2 and argv[0] == "--write":
        Path(argv[1]).write_text(document())
    elif not argv:
        print(document(), end="")
    else:
        print("usage: python -m flowtorch support [--json | --write FILE]", file=sys.stderr)
        return 2
    return 0
