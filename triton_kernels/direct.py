"""Calls of kernels that stand in the sources as Triton functions: one compiled variant per combination of types."""

from __future__ import annotations

import inspect
from functools import cache

import triton

from .compile import Kernel


@cache
def variant(
    function: triton.JITFunction,
    types: tuple[str, ...],
    constants: tuple[tuple[str, int], ...],
    divisible: frozenset[str] = frozenset(),
    warps: int = 4,
    stages: int = 3,
) -> Kernel:
    """The kernel of `function` for arguments of `types`, which are those that are not in `constants`, in order."""
    fixed = dict(constants)
    names = [name for name in function.arg_names if name not in fixed]
    if len(names) != len(types):
        raise TypeError(f"{function.__name__} takes {names}, got {len(types)} arguments")
    signature = dict(zip(names, types, strict=True))
    return Kernel(function, inspect.getsource(function.fn), signature, fixed, divisible, warps, stages)
