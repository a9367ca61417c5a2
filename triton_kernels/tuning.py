"""Configurations of kernels by shape class, from the committed table in tuned.py; a call looks up and measures nothing.

A class is coarse on purpose: sizes count as "s" (up to 64), "m" (up to 1024) or "l", so that a table of a few dozen
entries covers all calls. ``python -m flowtorch tune`` measures the candidates on the GPU at hand and writes the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .tuned import MEASURED

architecture = ""
"""Of the device that kernels are launched on, e.g. "sm_90"; empty until it is known."""


FLOATS = ("float32", "float64", "float16", "bfloat16", "complex64", "complex128")
CLASSES = [rows + cols + inner for rows in "sml" for cols in "sml" for inner in "sml"]
_UNMEASURED = {
    # products with two small sizes are over before the library has chosen an algorithm
    "matmul": {f"{dtype} {kind}": {"library": True} for dtype in FLOATS for kind in CLASSES if kind.count("s") < 2},
}
"""What holds where nothing was measured; an absent class is left to the kernel's own rule."""


def size_class(size: int) -> str:
    """Small, medium or large."""
    return "s" if size <= 64 else "m" if size <= 1024 else "l"


def matmul_class(dtype: str, rows: int, cols: int, inner: int) -> str:
    """The class of a matrix product, e.g. "bfloat16 lml"."""
    return f"{dtype} {size_class(rows)}{size_class(cols)}{size_class(inner)}"


def find(family: str, kind: str) -> Mapping[str, Any]:
    """The configuration of a class on the current architecture."""
    own = MEASURED.get(architecture, {}).get(family, {}).get(kind)
    return _UNMEASURED.get(family, {}).get(kind, {}) if own is None else own


def matmul_candidates(dtype: str) -> Iterator[dict[str, Any]]:
    """What `tune` measures for matrix products of a dtype, the library's product among them."""
    yield {"library": True}
    tall = [(32, 32), (64, 64)] if dtype in ("float32", "float64") else [(64, 64), (64, 128), (128, 128), (128, 256)]
    for rows, cols in tall:
        for inner in (16, 32) if dtype in ("float32", "float64") else (32, 64):
            for warps in (4, 8):
                for stages in (2, 3, 4):
                    yield {"tile": (rows, cols, inner), "warps": warps, "stages": stages}
