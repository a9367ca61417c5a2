"""Which ops have a device kernel: ``python -m flowtorch.ops.cuda.coverage`` prints the counts and what is missing.

``--write docs/gpu.md`` puts the counts and the list into that page, between the two lines that mark their place.
"""

from __future__ import annotations

import argparse
import textwrap
from collections import defaultdict
from pathlib import Path

from flowtorch.codegen import expression
from flowtorch.codegen.dtypes import compute_type
from flowtorch.codegen.lowering import lower
from flowtorch.codegen.triton_renderer import render
from flowtorch.ops.cuda import load
from flowtorch.ops.cuda.base import LIBRARY
from flowtorch.ops.op import COMPOSITES, REGISTRY, Op

WITHOUT_MEMORY = ("view",)
"""Families whose ops compute nothing: the same memory under another shape."""
CONVERSIONS = ("_to_copy", "copy")
"""Ops whose family itself calls copying kernels."""


def kind(op: Op) -> str:
    """How ``op`` runs on the device: "view", "written", "library", "rendered" or "missing"."""
    if op.family.name in WITHOUT_MEMORY:
        return "view"
    if op.name in CONVERSIONS or op.name in load():
        return "library" if op.name in LIBRARY else "written"
    return "rendered" if renders(op) else "missing"


def renders(op: Op) -> bool:
    """Whether the op's scalar expression can be written as a Triton kernel, for one dtype at least."""
    if op.expr is None:
        return False
    for name in ("float32", "int64"):
        try:
            tree = expression.parse(op.expr, op.tensors, op.params)
            inputs = {t: "bool" if t == "condition" else name for t in op.tensors}
            scalars = dict.fromkeys(tree.names("parameter"), compute_type(name))
            render(lower([tree], inputs, scalars))
        except (NotImplementedError, TypeError):  # not rendered in this dtype: the next may be
            continue
        return True
    return False


def table() -> dict[str, list[str]]:
    """The names of all ops by how they run."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, op in REGISTRY.items():
        found[kind(op)].append(name)
    return dict(found)


MEANINGS = {
    "rendered": "rendered from the op's expression by Triton",
    "written": "kernels and compositions written for the device",
    "library": "cuSOLVER and cuFFT through CuPy",
    "view": "the same memory: nothing to compute",
}
"""The kinds, as the page names them."""
BEGIN, END = "<!-- the list of ops begins -->", "<!-- the list of ops ends -->"


def page() -> str:
    """The counts and the names of all ops, by how they run."""
    found = table()
    total, missing = sum(map(len, found.values())), found.get("missing", [])
    here, others = total - len(missing), len(COMPOSITES)
    lines = [
        f"{here} of {total} primitive operations run on the device, and {others} more are composed",
        "of them. Without a kernel: " + (", ".join(f"`{name}`" for name in sorted(missing)) or "none") + ".",
    ]
    for name, meaning in MEANINGS.items():
        ops = sorted(found.get(name, []))
        lines += ["", f"**{len(ops)}: {meaning}**", "", *textwrap.wrap(" ".join(f"`{op}`" for op in ops), 116)]
    return "\n".join(lines)


def write(path: Path) -> None:
    """Replace the list in a page."""
    head, _, rest = path.read_text().partition(BEGIN)
    path.write_text(f"{head}{BEGIN}\n\n{page()}\n\n{END}{rest.partition(END)[2]}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m flowtorch.ops.cuda.coverage")
    parser.add_argument("--write", type=Path, metavar="PAGE")
    options = parser.parse_args()
    found = table()
    total = sum(map(len, found.values()))
    here = total - len(found.get("missing", ()))
    print(f"{here} of {total} ops run on device 'cuda'; {len(COMPOSITES)} composites are made of ops alone")
    for name in ("view", "rendered", "written", "library"):
        print(f"  {name:10} {len(found.get(name, ())):4}")
    if found.get("missing"):
        print("without a kernel:", *sorted(found["missing"]))
    if options.write:
        write(options.write)


if __name__ == "__main__":
    main()
