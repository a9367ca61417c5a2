"""Runs update formulas over many parameters.

Ordinary CPU tensors are updated in place by the formula's kernel. A large parameter goes to machine code, or
is walked in blocks that fit the cache, so that a long formula reads and writes main memory once, and with
as few passes over them as BLAS allows (`combined`), which rounds in other places. Small
parameters cost more in calls than in arithmetic: they are copied side by side into one block, updated
together and copied back. Everything else (other devices and dtypes, subclasses, odd layouts, differentiable
steps) runs the formula on tensors.
"""
from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import flowtorch as ft
from flowtorch.array.spread import spread
from flowtorch.autograd.mode import grad_mode
from flowtorch.tensor import Tensor

from . import native
from .formula import Formula
from .kernel import Kernel

BLOCK = 49152           # elements: the arrays of one block stay in a second-level cache
GRAIN = 4               # blocks that are worth another thread
SMALL = 1024            # rows of at most this many elements are cheaper to copy than to treat alone
PACK_COST = 4           # calls per row that packing must save to be worth its copies

Columns = Sequence[Sequence[Any] | None]       # of tensors; None for an array that is not there

_memory = threading.local()     # plans hold work arrays, so each thread has its own


def update(formula: Formula, columns: Columns, varying: dict[str, Sequence[Any]] | None = None, *,
           upcast: bool = False, **numbers: Any) -> None:
    """Update every row of ``columns`` (parameters, gradients, then one list per kind of state) in place.

    ``varying`` are numbers with one value per row. ``upcast`` computes half precision in float32 and rounds
    once. Where gradients are recorded, so is the update.
    """
    if not columns[0]:
        return
    differentiable = grad_mode.enabled
    if not differentiable and columns[0][0]._type.device.type == "cuda":
        columns, varying = _on_device(formula, columns, varying or {}, numbers)
        if not columns[0]:
            return
    if not varying:
        _update(formula, columns, differentiable, upcast, numbers)
        return
    names = tuple(varying)
    for values, rows in _alike(tuple(varying.values())):
        chosen = columns if rows is None else [column and [column[i] for i in rows] for column in columns]
        _update(formula, chosen, differentiable, upcast, {**numbers, **dict(zip(names, values, strict=True))})


def _on_device(formula: Formula, columns: Columns, varying: dict[str, Sequence[Any]],
               numbers: dict[str, Any]) -> tuple[Columns, dict[str, Sequence[Any]]]:
    """Update what device kernels take; the columns and numbers of the rows that are left."""
    from . import device

    count = len(columns[0])     # type: ignore[arg-type]
    rows = [[column[i] if column else None for column in columns] for i in range(count)]
    values = [tuple([own[i] for own in varying.values()]) for i in range(count)]
    left = device.update(formula, rows, values, tuple(varying), numbers)
    return ([column and [column[i] for i in left] for column in columns],
            {name: [own[i] for i in left] for name, own in varying.items()})


def _alike(varying: tuple[Sequence[Any], ...]) -> list[tuple[tuple, list[int] | None]]:
    """The distinct rows of ``varying`` with their indices; None for all of them."""
    rows = list(zip(*varying, strict=True))
    first = rows[0]
    if any(isinstance(value, Tensor) for value in first):
        return [(row, [i]) for i, row in enumerate(rows)]
    if rows.count(first) == len(rows):
        return [(first, None)]
    groups: dict[tuple, list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault(row, []).append(i)
    return list(groups.items())


def _update(formula: Formula, columns: Columns, differentiable: bool, upcast: bool,
            numbers: dict[str, Any]) -> None:
    kind = columns[0][0]._type      # type: ignore[index]
    present = [column for column in columns if column]
    arrays = [] if differentiable or not _is_ordinary(kind) \
        else [[t._array for t in column if t._type is kind] for column in present]
    if arrays and all([len(alike) == len(arrays[0]) for alike in arrays]):
        kernel = formula.kernel(tuple([bool(column) for column in columns]), numbers)
        odd = run_kernel(kernel, arrays, kernel.numbers(**numbers))
        for k in kernel.writes:
            for t in present[k]:
                t._bump_version()
        for i in odd:
            _on_tensors(formula, [column and column[i] for column in columns], False, False, numbers)
        return
    mixed = not differentiable and len(columns[0]) > 1      # type: ignore[arg-type]
    for i in range(len(columns[0])):                        # type: ignore[arg-type]
        row = [column and column[i] for column in columns]
        if mixed and _is_ordinary(row[0]._type):            # type: ignore[union-attr]
            _update(formula, [column and [column[i]] for column in columns], False, upcast, numbers)
        else:
            _on_tensors(formula, row, differentiable, upcast, numbers)


def _is_ordinary(kind: Any) -> bool:
    return kind.plain and kind.device.type == "cpu" and kind.numpy is not None and kind.numpy.char in "fdFD"


def _on_tensors(formula: Formula, row: list[Any], differentiable: bool, upcast: bool,
                numbers: dict[str, Any]) -> None:
    """The formula on one row of tensors, its results copied into place."""
    if row[0].is_complex():
        row = [ft.view_as_real(t) if t is not None else None for t in row]
    values = row
    if differentiable:      # autograd keeps what the formula reads, so that must not be what is written
        values = [t.clone() if t is not None else None for t in row]
    elif upcast and row[0].dtype in (ft.float16, ft.bfloat16):
        values = [t.float() if t is not None else None for t in row]
    results = iter(formula(*values, **numbers))
    for i, target in enumerate(row):
        if i == 1:
            continue
        result = next(results)
        if target is not None and result is not values[i]:
            target.copy_(result)


def run_kernel(kernel: Kernel, columns: list[list[np.ndarray]], numbers: tuple) -> list[int]:
    """Run ``kernel`` over rows of arrays in place; returns the rows it leaves out for their layout."""
    dtype = columns[0][0].dtype
    if dtype.kind == "c":
        return _run_complex(kernel, columns, numbers)
    function = kernel.native.functions.get(dtype.char)
    if function is not None and native.run(function, columns, numbers):
        return []
    key = kernel, dtype.char, tuple([a.shape for a in columns[0]])
    plans: dict[Any, _Plan] = _memory.__dict__      # type: ignore[assignment]
    try:
        plan = plans[key]
    except KeyError:
        if len(plans) > 256:        # shapes that come and go must not keep their work arrays for ever
            plans.clear()
        plan = plans[key] = _Plan(kernel, dtype, key[2], len(columns))
    return plan.run(columns, numbers, function)


def _run_complex(kernel: Kernel, columns: list[list[np.ndarray]], numbers: tuple) -> list[int]:
    """Complex rows as twice as many real numbers, which is how PyTorch's optimisers see them."""
    rows = [_flat([column[i] for column in columns]) for i in range(len(columns[0]))]
    odd = [i for i, row in enumerate(rows) if row is None]
    real = [[a.view(a.real.dtype) for a in row] for row in rows if row is not None]
    if real:
        run_kernel(kernel, [list(column) for column in zip(*real, strict=True)], numbers)
    return odd


class _Plan:
    """How to run one kernel over rows of known shapes, and the memory for it.

    Small rows are packed if the kernel is long enough for that to pay, and else updated as they are, like all
    rows of up to a block; longer ones go block by block.
    """

    def __init__(self, kernel: Kernel, dtype: np.dtype, shapes: tuple, width: int) -> None:
        self.kernel, self.dtype = kernel, dtype
        sizes = [math.prod(shape) for shape in shapes]
        self.elements = sum(sizes)
        small = [i for i, n in enumerate(sizes) if n <= SMALL]
        packing = len(small) > 1 and kernel.cost >= PACK_COST + width
        self.packs = _packs(kernel, dtype, small, shapes, width) if packing else []
        self.small = _Direct([] if packing else small, shapes)
        self.middle = _Direct([i for i, n in enumerate(sizes) if SMALL < n <= BLOCK], shapes)
        self.long = [i for i, n in enumerate(sizes) if n > BLOCK]
        longest = max([sizes[i] for i in self.small.rows + self.middle.rows] + [BLOCK] * bool(self.long),
                      default=0)
        self.work = _work_arrays(kernel, dtype, longest)
        for direct in (self.small, self.middle):
            direct.shape_work(self.work)
        self.values: np.ndarray = np.empty(0, dtype)
        self.constants: list[np.ndarray] = []

    def run(self, columns: list[list[np.ndarray]], numbers: tuple, function: Callable | None) -> list[int]:
        """Update all rows but those whose layout does not allow it; returns those."""
        odd = self._run_native(function, columns, numbers) if function is not None else None
        if odd is not None:
            return odd
        self.kernel.native.worked(self.dtype, self.elements)
        if len(numbers) != len(self.constants):
            self.values = np.empty(len(numbers), self.dtype)
            self.constants = [self.values[k:k + 1].reshape(()) for k in range(len(numbers))]
        self.values[:] = [v.item() if isinstance(v, Tensor) else v for v in numbers]
        with np.errstate(all="ignore"):
            self.small.run(self.kernel, columns, self.constants)
            for pack in self.packs:
                pack.run(columns, self.constants)
            self.middle.run(self.kernel, columns, self.constants)
            return [i for i in self.long if not self._run_blocks([column[i] for column in columns])]

    def _run_native(self, function: Callable, columns: list[list[np.ndarray]], numbers: tuple) -> list[int] | None:
        """By machine code, the arrays seen in an order in which they are contiguous; None if it refuses
        them."""
        flat = [_flat(row) for row in zip(*columns, strict=True)]
        columns = [list(column) for column in zip(*(row for row in flat if row is not None), strict=True)]
        if columns and not native.run(function, columns, numbers):
            return None
        return [i for i, row in enumerate(flat) if row is None]

    def _run_blocks(self, arrays: list[np.ndarray]) -> bool:
        """One row, block by block; False if its arrays do not lie in memory in one common order."""
        flat = _flat(arrays)
        if flat is None:
            return False
        n = flat[0].size

        def some(first: int, last: int) -> None:
            blocks = [slice(k, min(k + BLOCK, n)) for k in range(first * BLOCK, min(last * BLOCK, n), BLOCK)]
            own = self.work if not first else _work_arrays(self.kernel, self.dtype, BLOCK)
            work = [[w[:block.stop - block.start] for block in blocks] for w in own]
            self.kernel.run_blocks(*[[a[block] for block in blocks] for a in flat], *work, *self.constants)

        spread(some, -(-n // BLOCK), GRAIN)
        return True


class _Direct:
    """Rows that are updated as they are, in one call of the kernel."""

    def __init__(self, rows: list[int], shapes: tuple) -> None:
        self.rows, self.shapes = rows, [shapes[i] for i in rows]
        self.everything = len(rows) == len(shapes)
        self.work: list[list[np.ndarray]] = []

    def shape_work(self, work: list[np.ndarray]) -> None:
        """Set the rows' work arrays, which all lie in the same memory."""
        self.work = [[w[:math.prod(shape)].reshape(shape) for shape in self.shapes] for w in work]

    def run(self, kernel: Kernel, columns: list[list[np.ndarray]], constants: list[np.ndarray]) -> None:
        if self.rows:
            kernel.run(*(columns if self.everything else _select(columns, self.rows)), *self.work, *constants)


class _Pack:
    """Some small rows side by side in one block of memory per array."""

    def __init__(self, kernel: Kernel, dtype: np.dtype, rows: list[int], shapes: tuple, width: int) -> None:
        self.kernel, self.rows = kernel, rows
        self.everything = len(rows) == len(shapes)
        sizes = [math.prod(shapes[i]) for i in rows]
        ends = list(itertools.accumulate(sizes))
        self.buffers = [np.empty(ends[-1], dtype) for _ in range(width)]
        self.work = [[w] for w in _work_arrays(kernel, dtype, ends[-1])]
        self.results = [[self.buffers[k][end - n:end].reshape(shapes[i])
                         for i, n, end in zip(rows, sizes, ends, strict=True)] for k in kernel.writes]

    def run(self, columns: list[list[np.ndarray]], constants: list[np.ndarray]) -> None:
        if not self.everything:
            columns = _select(columns, self.rows)
        for column, buffer in zip(columns, self.buffers, strict=True):
            np.concatenate(column, axis=None, out=buffer)
        self.kernel.run(*[[buffer] for buffer in self.buffers], *self.work, *constants)
        for k, results in zip(self.kernel.writes, self.results, strict=True):
            for array, result in zip(columns[k], results, strict=True):
                array[...] = result


def _packs(kernel: Kernel, dtype: np.dtype, rows: list[int], shapes: tuple, width: int) -> list[_Pack]:
    """The rows in as few packs of about a block as they fit into."""
    packs, start, total = [], 0, 0
    for k, i in enumerate(rows):
        n = math.prod(shapes[i])
        if total + n > BLOCK:
            packs.append(_Pack(kernel, dtype, rows[start:k], shapes, width))
            start, total = k, 0
        total += n
    if rows:
        packs.append(_Pack(kernel, dtype, rows[start:], shapes, width))
    return packs


def _select(columns: list[list[np.ndarray]], rows: list[int]) -> list[list[np.ndarray]]:
    return [[column[i] for i in rows] for column in columns]


def _work_arrays(kernel: Kernel, dtype: np.dtype, n: int) -> list[np.ndarray]:
    kinds = [dtype] * kernel.floats + [np.dtype(bool)] * kernel.booleans
    return [np.empty(n, kind) for kind in kinds]


def _flat(arrays: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    """The arrays as one-dimensional views in a common order of elements, or None if there is no such
    order."""
    if not all(a.flags.c_contiguous for a in arrays):
        first = arrays[0]
        order = sorted(range(first.ndim), key=lambda d: -first.strides[d])
        arrays = [a.transpose(order) for a in arrays]
        if not all(a.flags.c_contiguous for a in arrays):
            return None
    return [a.reshape(-1) for a in arrays]
