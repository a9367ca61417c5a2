"""Convolution on numpy arrays: which of the ways is taken.

Most are products of matrices by BLAS, and differ in the copies of the input that are multiplied: see ``conv_rows``,
``conv_lines``, ``conv_windows``. One channel a group: see ``conv_depthwise``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.ops import conv_lines, conv_rows, conv_windows
from flowtorch.ops.conv_geometry import Geometry


def forward(x: np.ndarray, weight: np.ndarray, g: Geometry, dtype: Any) -> np.ndarray:
    """(N, F, *out) of (N, C, *size)."""
    out = np.empty((len(x), g.groups * g.outputs, *g.out), dtype)
    if not (x.size and weight.size and out.size):
        out[...] = 0                                    # a sum of nothing
    elif g.in_rows:
        conv_rows.forward(x, weight, g, out)
    elif conv_lines.suits(g):
        conv_lines.forward(x, weight, g, out)
    else:
        conv_windows.forward(x, weight, g, out)
    return out


def weight_gradient(grad: np.ndarray, x: np.ndarray, g: Geometry, dtype: Any) -> np.ndarray:
    """(F, C / groups, *kernel) of the gradient of ``forward`` and its input."""
    way = conv_rows if g.in_rows else conv_windows
    return way.weight_gradient(grad, x, g, dtype)


def input_gradient(grad: np.ndarray, weight: np.ndarray, g: Geometry, dtype: Any) -> np.ndarray:
    """(N, C, *size) of the gradient of ``forward`` and its weight."""
    if not (grad.size and weight.size):
        return np.zeros((len(grad), g.groups * g.channels, *g.size), dtype)
    t = g.transposed()
    if not g.dense or min(t.padding) < 0:
        return conv_windows.scattered(grad, weight, g, dtype)
    x = np.empty((len(grad), g.groups * g.channels, *g.size), dtype)
    way = conv_rows if t.in_rows else conv_windows
    way.turned(grad, weight, t, x)
    return x
