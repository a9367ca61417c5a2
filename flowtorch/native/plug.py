"""Where the native kernels go: into the plans of pointwise ops, and into the places of numpy kernels elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.dtypes import LOW_PRECISION
from flowtorch.native.places import BODIES
from flowtorch.ops import families
from flowtorch.ops.dispatch import forget_plans
from flowtorch.ops.op import REGISTRY, Op

_pointwise: dict[str, tuple] = {}


def install(module: Any) -> None:
    """Put every kernel of the extension in its place, and forget the plans that were made without them."""
    for name in module.names():
        op = REGISTRY.get(name)
        if op is not None and op.family.name == "pointwise":
            _pointwise[name] = _plan(module, op)
    for name in BODIES:
        op = REGISTRY[name]
        replace_body(op, module.kernel(name, op.body))
    families.native_kernels = _kernels
    forget_plans()


def remove() -> None:
    """Take all kernels out again (for tests that compare the tiers)."""
    _pointwise.clear()
    for name in BODIES:
        op = REGISTRY[name]
        if hasattr(op.body, "native"):
            replace_body(op, op.body.__wrapped__)
    families.native_kernels = None
    forget_plans()


def replace_body(op: Op, kernel: Any) -> None:
    """Make `kernel` the kernel of `op`, also in the closures that hold the old one."""
    old, op.body = op.body, kernel
    for function in (op.closure, op.public):
        for cell in getattr(function, "__closure__", None) or ():
            if cell.cell_contents is old:
                cell.cell_contents = kernel


def _plan(module: Any, op: Op) -> tuple:
    """Kernels before the numpy ones: of the tensors alone, with parameters, in place."""
    fast = op.ufunc or op.body
    full = op.body if op.params or op.ufunc is None else op.ufunc

    def into(*arrays: Any) -> Any:
        np.copyto(arrays[-1], fast(*arrays[:-1]), casting="unsafe")
        return arrays[-1]

    return module.kernel(op.name, fast), module.kernel(op.name, full), module.kernel(op.name, op.ufunc or into)


def _kernels(op: Op, t: Any) -> tuple | None:
    """`families.find_kernels` asks this first for operands of type `t` on the CPU."""
    found = _pointwise.get(op.name)
    if found is None:
        return None
    if t.dtype in LOW_PRECISION:
        return None
    return found if t.dtype.is_floating_point or t.dtype.name in ("int64", "bool") else None
