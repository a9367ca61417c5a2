"""Triangular systems, and symmetric ones by Bunch and Kaufman's factors, on the device."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowtorch.array.cuda import element_strides, empty, kernel_module
from flowtorch.codegen.triton_map import grid_map, run
from flowtorch.ops.cuda.base import combined, copy_into, dense, kernel, zeros
from flowtorch.ops.cuda.places import spread_to
from flowtorch.ops.cuda.products import product
from flowtorch.ops.cuda.scans import state_type

_LONGEST = 4096
"""Rows that one program can hold a column of."""
_BLOCK = 128
"""Rows of a triangle that one program solves, one after the other; larger ones are mostly products of matrices."""


def _planes(array: Any) -> Any:
    """Complex numbers as the pairs of real ones that they are."""
    return array.view(_plane(array)) if array.dtype.kind == "c" else array


def _plane(array: Any) -> np.dtype:
    return np.dtype({"complex64": np.float32, "complex128": np.float64}.get(array.dtype.name, array.dtype))


def _check_size(name: str, n: int) -> None:
    if n > _LONGEST:
        raise NotImplementedError(f"{name}: matrices of more than {_LONGEST} rows, here {n}, have no kernel on device "
                                  "'cuda': move them to the CPU")


def _options(array: Any, n: int) -> dict[str, Any]:
    import triton

    size = max(2, triton.next_power_of_2(n))
    return {"STATE": state_type(_plane(array).name), "COMPLEX": array.dtype.kind == "c", "SIZE": size}


def _columns(size: int, columns: int) -> int:
    import triton

    return max(1, min(triton.next_power_of_2(columns), max(1, 4096 // size)))


@kernel("_solve_triangular")
def solve_triangular(A: Any, B: Any, upper: bool, left: bool, unitriangular: bool) -> Any:
    if not left:
        flipped = solve_triangular(A.swapaxes(-2, -1), B.swapaxes(-2, -1), not upper, True, unitriangular)
        return flipped.swapaxes(-2, -1)
    batch = np.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    a, b = (spread_to(x, (*batch, *x.shape[-2:])) for x in (A, B))
    return _halved(a, b, bool(upper), bool(unitriangular)) if b.size else empty(b.shape, b.dtype)


def _halved(a: Any, b: Any, upper: bool, unit: bool) -> Any:
    """x with a @ x = b: one half of the rows, then the other less its product with what is known."""
    n = b.shape[-2]
    if n <= _BLOCK:
        return _by_rows(dense(a), dense(b), upper, unit)
    middle = -(-n // (2 * _BLOCK)) * _BLOCK
    early, late = slice(0, middle), slice(middle, n)
    if upper:
        early, late = late, early
    result = empty(b.shape, b.dtype)
    known = _halved(a[..., early, early], b[..., early, :], upper, unit)
    rest = combined(b[..., late, :], product(a[..., late, early], known, tf32=False), "-")
    copy_into(result[..., early, :], known)
    copy_into(result[..., late, :], _halved(a[..., late, late], rest, upper, unit))
    return result


def _by_rows(a: Any, b: Any, upper: bool, unit: bool) -> Any:
    *batch, n, columns = b.shape
    result = empty(b.shape, b.dtype)
    options = _options(b, n)
    cols = _columns(options["SIZE"], columns)
    run(kernel_module("solve").triangular, (math.prod(batch), -(-columns // cols)), *map(_planes, (a, b, result)),
        n, columns, UPPER=upper, UNIT=unit, COLS=cols, **options)
    return result


@kernel("_ldl_factor")
def ldl_factor(A: Any, hermitian: bool) -> tuple:
    *batch, n, _ = A.shape
    _check_size("linalg.ldl_factor", n)
    work = empty(A.shape, A.dtype)
    pivots, info = zeros((*batch, n), np.int32), zeros(batch, np.int32)
    result = empty((*batch, n, n), A.dtype).swapaxes(-2, -1)  # column by column, as PyTorch returns it
    if not A.size:
        return result, pivots, info
    complex_numbers = A.dtype.kind == "c"
    words = _planes(work).reshape(-1, n, n, 2 if complex_numbers else 1)
    source = _both_halves(A, words, bool(hermitian) and complex_numbers)
    options = _options(A, n)
    run(kernel_module("factor").symmetric, (math.prod(batch),), source, pivots, info, n,
        HERMITIAN=bool(hermitian) and complex_numbers, ROWS=max(1, min(16, 4096 // options["SIZE"])), **options)
    lower = ["y = tl.where(c1 >= c2, x, 0)"]
    grid_map("lower", words.shape, lower, {"x": words}, {"y": words})
    copy_into(result, work)
    return result, pivots, info


def _both_halves(array: Any, words: Any, hermitian: bool) -> Any:
    """Write the lower triangle of ``array`` and its mirror image to ``words``, (matrix, row, column, part)."""
    given = _planes(dense(array)).reshape(words.shape)
    batch, row, column, part = element_strides(given)
    lines = [
        "low, high = tl.maximum(c1, c2), tl.minimum(c1, c2)",
        f"y = tl.load(x_ptr + c0 * {batch} + low * {row} + high * {column} + c3 * {part}, mask=m)",
    ]
    if hermitian:
        lines.append("y = tl.where(c3 == 1, tl.where(c1 == c2, 0.0, tl.where(c1 < c2, -y, y)), y)")
    grid_map("both_halves", words.shape, lines, {}, {"y": words}, {"x": given})
    return words


@kernel("_ldl_solve")
def ldl_solve(LD: Any, pivots: Any, B: Any, hermitian: bool) -> Any:
    batch = np.broadcast_shapes(LD.shape[:-2], B.shape[:-2])
    n, columns = B.shape[-2:]
    _check_size("linalg.ldl_solve", n)
    a, b = (dense(spread_to(x, (*batch, *x.shape[-2:]))) for x in (LD, B))
    p = dense(spread_to(pivots, (*batch, n)))
    result = empty((*batch, n, columns), B.dtype)
    if result.size:
        options = _options(B, n)
        cols = _columns(options["SIZE"] * B.dtype.itemsize // 4, columns)
        a_words, b_words, words = map(_planes, (a, b, result))
        run(kernel_module("solve").symmetric, (math.prod(batch), -(-columns // cols)), a_words, p, b_words, words, n,
            columns, HERMITIAN=bool(hermitian) and options["COMPLEX"], COLS=cols, **options)
    return result
