"""Normalisation on the device: layer norm by a kernel of its own, other dimensions by reductions."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.array.cuda import empty, kernel_module
from flowtorch.codegen import triton_kernel
from flowtorch.codegen.dtypes import compute_type
from flowtorch.codegen.triton_map import run
from flowtorch.ops.cuda.base import cast, dense, formula, kernel
from flowtorch.ops.cuda.scans import state_type, tile


def _mean(x: Any, dims: tuple, dtype: str) -> Any:
    result = triton_kernel.reduce("mean", x, tuple(dims), dtype)
    return result.reshape([1 if d in dims else n for d, n in enumerate(x.shape)])


def _moments(input: Any, dims: tuple) -> tuple[Any, Any, str]:
    """(mean, variance, dtype of both) over ``dims``, kept as size 1."""
    name, state = input.dtype.name, compute_type(input.dtype.name)
    mean = _mean(input, dims, state)
    types = (("x", name), ("m", state))
    squares = formula("(x - m) * (x - m)", types, (), state)(input, mean)
    return mean, _mean(squares, dims, state), state


@kernel("_standardize")
def standardize(input: Any, dims: tuple, eps: float) -> tuple:
    mean, variance, state = _moments(input, dims)
    name = input.dtype.name
    types = (("x", name), ("m", state), ("v", state))
    result = formula("(x - m) / sqrt(v + eps)", types, ("eps",), name)(input, mean, variance, float(eps))
    return result, cast(mean, name), cast(variance, name)


@kernel("_standardize_adjoint")
def standardize_adjoint(grad: Any, input: Any, dims: tuple, eps: float) -> Any:
    mean, variance, state = _moments(input, dims)
    name = input.dtype.name
    types = (("g", grad.dtype.name), ("x", name), ("m", state), ("v", state))
    products = formula("g * ((x - m) / sqrt(v + eps))", types, ("eps",), state)(grad, input, mean, variance, float(eps))
    tilt, share = _mean(products, dims, state), _mean(grad, dims, state)
    types = (*types, ("s", state), ("t", state))
    text = "(g - s - ((x - m) / sqrt(v + eps)) * t) / sqrt(v + eps)"
    return formula(text, types, ("eps",), name)(grad, input, mean, variance, share, tilt, float(eps))


def _rows(input: Any, count: int) -> tuple[Any, int, dict[str, int], Any]:
    flat = dense(input).reshape(-1)
    rows = flat.size // count if count else 0
    return flat, rows, tile(rows, count, 4096), state_type(input.dtype.name)


def _eps(eps: float, array: Any) -> Any:
    return np.float64(eps) if array.dtype == np.float64 else float(eps)


def _warps(sizes: dict[str, int]) -> int:
    return min(max(4, sizes["ROWS"] * sizes["COLS"] // 512), 16)


@kernel("_layer_norm")
def layer_norm(input: Any, weight: Any = None, bias: Any = None, count: int = 1, eps: float = 1e-5) -> Any:
    flat, rows, sizes, state = _rows(input, count)
    result = empty(input.shape, input.dtype)
    if rows:
        w, b = (flat if part is None else dense(part) for part in (weight, bias))
        function = kernel_module("norms").layer_norm
        run(function, (-(-rows // sizes["ROWS"]),), flat, w, b, result, rows, count, _eps(eps, flat), STATE=state,
            WEIGHT=weight is not None, BIAS=bias is not None, warps=_warps(sizes), **sizes)
    return result


@kernel("_layer_norm_adjoint")
def layer_norm_adjoint(grad: Any, input: Any, weight: Any = None, count: int = 1, eps: float = 1e-5,
                       affine: bool = True) -> tuple:
    flat, rows, sizes, state = _rows(input, count)
    g = dense(grad).reshape(-1)
    wide = np.dtype(compute_type(input.dtype.name))
    result, nothing = empty(input.shape, input.dtype), empty((0,), grad.dtype)
    mean, scale = empty((rows,), wide), empty((rows,), wide)
    module = kernel_module("norms")
    if rows:
        w = flat if weight is None else dense(weight)
        run(module.layer_norm_adjoint, (-(-rows // sizes["ROWS"]),), g, flat, w, result, mean, scale, rows, count,
            _eps(eps, flat), STATE=state, WEIGHT=weight is not None, warps=_warps(sizes), **sizes)
    if not affine:
        return result, nothing, nothing
    programs = max(1, min(64, rows // 32))
    dw, db = (empty((programs, count), wide) for _ in range(2))
    sizes = tile(32, min(count, 128), 4096)
    run(module.layer_norm_weights, (-(-count // sizes["COLS"]), programs), g, flat, mean, scale, dw, db, rows, count,
        -(-rows // programs), STATE=state, **sizes)
    name = grad.dtype.name
    return result, *(triton_kernel.reduce("sum", part, (0,), name) for part in (dw, db))


