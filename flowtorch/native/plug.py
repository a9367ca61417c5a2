"""Where the native kernels go: into the plans of pointwise ops, and into the places of numpy kernels elsewhere."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np

from flowtorch.native.places import BODIES, FUNCTIONS
from flowtorch.ops import families
from flowtorch.ops.dispatch import forget_plans
from flowtorch.ops.op import REGISTRY, Op

_TYPES = {"float32", "float64", "int64", "bool"}
_pointwise: dict[str, tuple] = {}
_low: dict[tuple, tuple] = {}
_module: Any = None


def install(module: Any) -> None:
    """Put every kernel of the extension in its place, and forget the plans that were made without them."""
    global _module
    _module = module
    for name in module.names():
        op = REGISTRY.get(name)
        if op is not None and op.family.name == "pointwise":
            _pointwise[name] = _plan(op, op.ufunc or op.body, op.body if op.params or op.ufunc is None else op.ufunc)
    for name in BODIES:
        op = REGISTRY[name]
        replace_body(op, module.kernel(name, op.body))
    for kernel, (where, name) in FUNCTIONS.items():
        original = getattr(importlib.import_module(where), name)
        exchange(name, original, module.kernel(kernel, original))
    families.native_kernels = _kernels
    forget_plans()


def remove() -> None:
    """Take all kernels out again (for tests that compare the tiers)."""
    _pointwise.clear()
    _low.clear()
    for name in BODIES:
        op: Any = REGISTRY[name]
        if hasattr(op.body, "native"):
            replace_body(op, op.body.__wrapped__)
    for where, name in FUNCTIONS.values():
        kernel = getattr(importlib.import_module(where), name)
        if hasattr(kernel, "native"):
            exchange(name, kernel, kernel.__wrapped__)
    families.native_kernels = None
    forget_plans()


def exchange(name: str, old: Any, new: Any) -> None:
    """Put a function in the place of another in all modules of flowtorch that hold it by its name."""
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("flowtorch") and module.__dict__.get(name) is old:
            module.__dict__[name] = new


def replace_body(op: Op, kernel: Any) -> None:
    """Make `kernel` the kernel of `op`, also in the closures that hold the old one."""
    old, op.body = op.body, kernel
    for function in (op.closure, op.public):
        for cell in getattr(function, "__closure__", None) or ():
            if cell.cell_contents is old:
                cell.cell_contents = kernel


def _plan(op: Op, fast: Any, full: Any) -> tuple:
    """Kernels before the numpy ones: of the tensors alone, with parameters, in place."""

    def into(*arrays: Any) -> Any:
        np.copyto(arrays[-1], fast(*arrays[:-1]), casting="unsafe")
        return arrays[-1]

    inplace = fast if isinstance(fast, np.ufunc) else into
    return _module.kernel(op.name, fast), _module.kernel(op.name, full), _module.kernel(op.name, inplace)


def _kernels(op: Op, t: Any) -> tuple | None:
    """`families.find_kernels` asks this first for operands of type `t` on the CPU."""
    found = _pointwise.get(op.name)
    if found is None or op.low == "keep":
        return None
    if t.dtype.name in ("float16", "bfloat16"):  # the same kernels, before numpy kernels that round once
        low = _low.get((op.name, t.dtype))
        if low is None:
            out = None if op.promote in ("bool", "int64") else t.numpy
            rounded = (families.rounding(kernel.__wrapped__, out) for kernel in found[:2])
            low = _low[op.name, t.dtype] = _plan(op, *rounded)
        return low
    return found if t.dtype.name in _TYPES else None
