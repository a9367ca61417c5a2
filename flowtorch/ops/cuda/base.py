"""What the device kernels of the ops share: their registry, and copies, fills and conversions made of kernels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flowtorch.array.cuda import address, element_strides, empty, parts, strided
from flowtorch.codegen import expression
from flowtorch.codegen.dtypes import compute_type
from flowtorch.codegen.lowering import lower
from flowtorch.codegen.triton_kernel import TritonKernel, fold, kernel_of
from flowtorch.codegen.triton_map import grid_map
from flowtorch.ops.families import normalize_dims

KERNELS: dict[str, Callable] = {}
"""Kernels of the ops that are not rendered from an expression, by name; they take what the op's body takes."""

COMPLEX: dict[str, Callable] = {}
"""Kernels for complex numbers of ops whose expression is rendered for real ones alone."""

LIBRARY: set[str] = set()
"""Ops in KERNELS that call CuPy's linear algebra or FFT instead of kernels of ours."""

INT64, BOOL = np.dtype(np.int64), np.dtype(bool)


def kernel(*names: str, library: bool = False) -> Callable:
    """Decorator: the device kernel of the ops ``names``."""

    def register(f: Callable) -> Callable:
        for name in names:
            KERNELS[name] = f
        if library:
            LIBRARY.update(names)
        return f

    return register


@functools.cache
def formula(text: str, inputs: tuple[tuple[str, str], ...], scalars: tuple[str, ...], result: str) -> Any:
    """A kernel of the glue's own: pointwise steps between others."""
    types = dict(inputs)
    tree = expression.parse(text, tuple(types), scalars)
    program = lower([tree], types, dict.fromkeys(scalars, compute_type(result)), [result])
    return kernel_of(program, "formula")


@functools.cache
def _expression(text: str, inputs: tuple[tuple[str, str], ...], scalars: tuple[str, ...], result: str) -> Any:
    return formula(text, inputs, scalars, result).expression


def folded(
    rule: str,
    text: str,
    arrays: dict[str, Any],
    dims: Sequence[int],
    dtype: str,
    *,
    numbers: dict[str, Any] | None = None,
    after: str = "",
    last: dict[str, Any] | None = None,
    keepdim: bool = False,
) -> Any:
    """Reduce the formula ``text`` of ``arrays`` over ``dims`` in one pass, then store ``after``, a formula of x.

    The formulas are computed as ``dtype`` is; ``numbers`` are those that ``text`` takes, ``last`` those of ``after``.
    """
    given, ending = numbers or {}, last or {}
    types = tuple([(name, array.dtype.name) for name, array in arrays.items()])
    state = compute_type(dtype)
    before = _expression(text, types, tuple(given), state)
    finish = _expression(after, (("x", state),), tuple(ending), dtype) if after else None
    scalars = (tuple(given.values()), tuple(ending.values()))
    result = fold(rule, tuple(arrays.values()), tuple(dims), dtype, before, finish, scalars)
    if not keepdim:
        return result
    full = np.broadcast_shapes(*(array.shape for array in arrays.values()))
    return result.reshape([1 if d in dims else n for d, n in enumerate(full)])


def bits(array: Any) -> Any:
    """Complex numbers as what kernels can move: integers of their size, or pairs of real numbers."""
    if array.dtype.kind != "c":
        return array if array.dtype.itemsize > 1 or array.dtype.kind in "biu" else array.view(np.uint8)
    if array.dtype.itemsize == 8:
        return array.view(np.int64)
    real = strided(array, (1,), (1,)).view(np.float64)
    return strided(real, (*array.shape, 2), (*[2 * step for step in element_strides(array)], 1))


def copy_into(target: Any, source: Any) -> None:
    """Write ``source``, broadcast and converted, into the memory of ``target``."""
    if not target.size:
        return
    if source.dtype == target.dtype:
        target, source = bits(target), bits(source)
    elif source.dtype.kind == "c" or target.dtype.kind == "c":
        real, imag = parts(target) if target.dtype.kind == "c" else (target, None)
        given = parts(source) if source.dtype.kind == "c" else (source, None)
        copy_into(real, given[0])
        if imag is not None:
            if given[1] is None:
                fill(imag, 0)
            else:
                copy_into(imag, given[1])
        return
    cast_kernel(source.dtype.name, target.dtype.name)(source, out=target)


@functools.cache
def cast_kernel(source: str, target: str) -> TritonKernel:
    """The kernel that copies from one dtype to another."""
    return formula("x", (("x", source),), (), target)


def copied(array: Any) -> Any:
    """A copy that keeps the order of dimensions."""
    result = empty(array.shape, array.dtype, element_strides(array))
    copy_into(result, array)
    return result


def dense(array: Any) -> Any:
    """The array itself if its elements lie in order, else a copy in which they do."""
    if array.flags.c_contiguous:
        return array
    result = empty(array.shape, array.dtype)
    copy_into(result, array)
    return result


def cast(array: Any, dtype: Any) -> Any:
    """The array in another dtype."""
    dtype = np.dtype(dtype)
    if array.dtype == dtype:
        return array
    result = empty(array.shape, dtype, element_strides(array))
    copy_into(result, array)
    return result


def fill(target: Any, value: Any) -> None:
    """Write one number everywhere."""
    if not target.size:
        return
    if target.dtype.kind == "c":
        for part, number in zip(parts(target), (complex(value).real, complex(value).imag), strict=True):
            fill(part, number)
        return
    kind = target.dtype.kind
    if kind == "b":
        value, dtype = int(bool(value)), "int64"
    elif kind in "iu":
        value, dtype = int(np.array(value).astype(target.dtype).astype(np.int64)), "int64"
    else:
        value, dtype = float(value), compute_type(target.dtype.name)
    line = "y = tl.full((BLOCK,), value, value.dtype)"
    flat = target.reshape(-1) if target.flags.c_contiguous else target
    grid_map("fill", flat.shape, [line], outputs={"y": flat}, scalars={"value": (value, dtype)})


def full(shape: Sequence[int], dtype: Any, value: Any) -> Any:
    """A new array of one number."""
    result = empty(tuple(shape), np.dtype(dtype))
    fill(result, value)
    return result


def joined(real: Any, imag: Any, dtype: np.dtype) -> Any:
    """The complex array of these parts."""
    result = empty(real.shape, dtype)
    for target, part in zip(parts(result), (real, imag), strict=True):
        copy_into(target, part)
    return result


def linear(f: Callable, array: Any) -> Any:
    """f(array) of a complex array for an ``f`` of real ones that is linear."""
    real, imag = parts(array)
    return joined(f(real), f(imag), array.dtype)


def bilinear(f: Callable, left: Any, right: Any) -> Any:
    """f(left, right) of complex arrays for an ``f`` of real ones that is linear in both: four calls of it."""
    (a, b), (c, d) = parts(left), parts(right)
    real, imag = (combined(first, second, sign) for first, second, sign in (
        (f(a, c), f(b, d), "-"), (f(a, d), f(b, c), "+")))  # fmt: skip
    return joined(real, imag, np.result_type(left.dtype, right.dtype))


def combined(left: Any, right: Any, sign: str = "+") -> Any:
    """The sum or difference of two arrays of one dtype, broadcast."""
    if left.dtype.kind == "c":
        real, imag = (combined(x, y, sign) for x, y in zip(parts(left), parts(right), strict=True))
        return joined(real, imag, left.dtype)
    name = left.dtype.name
    return formula(f"x {sign} y", (("x", name), ("y", name)), (), name)(left, right)


def zeros(shape: Sequence[int], dtype: Any) -> Any:
    """A new array of zeros."""
    return full(shape, dtype, 0)


def along(dim: int, ndim: int) -> int:
    """One dimension, counted from the front; 0 for a 0-d array."""
    (d,) = normalize_dims(dim, ndim) or (0,)
    return d


def rows_last(array: Any, dim: int) -> tuple[Any, tuple[int, ...]]:
    """A dense (rows, length) array with ``dim`` as the rows' dimension, and the shape of the rest."""
    moved = array.transpose([*[d for d in range(array.ndim) if d != dim], dim]) if array.ndim else array.reshape(1)
    rest = moved.shape[:-1]
    return dense(moved).reshape(-1 if moved.size else int(np.prod(rest, dtype=np.int64)), moved.shape[-1]), rest


def from_rows(rows: Any, rest: tuple[int, ...], dim: int) -> Any:
    """Undo ``rows_last`` on a (rows, any length) array."""
    shaped = rows.reshape((*rest, rows.shape[-1]))
    order = list(range(len(rest)))
    order.insert(dim, len(rest))
    moved = shaped.transpose(order)
    return dense(moved)


def number(value: Any) -> Any:
    """A parameter as a Python number: for a tensor of one number the host waits."""
    return value.item() if hasattr(value, "item") else value


def is_same_memory(left: Any, right: Any) -> bool:
    """Whether two arrays start at the same place."""
    return address(left) == address(right)
