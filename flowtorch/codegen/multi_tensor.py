"""Programs over lists of device arrays, all rows of a list in one launch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowtorch.array.cuda import address, capture, element_strides, empty, kernel_module, to_device

from .lowering import Program
from .triton_map import run
from .triton_renderer import render

_TABLES = 16
"""Tables of addresses that a kernel remembers: a step that gets its gradients in the same places uploads nothing."""


class MultiTensorKernel:
    """A program called with one list of arrays per input and per output; row i of the outputs comes from row i.

    The arrays of a row are dense and lie in memory in the same order of elements, but for inputs marked `single`, which
    have one element. Outputs may be inputs.
    """

    def __init__(self, program: Program, name: str, single: Sequence[bool] = ()):
        lines, results = render(program)
        self.module = kernel_module("multi_tensor")
        self.launch = kernel_module("launch").launch
        self.expression = kernel_module("pointwise").Expression(
            name,
            tuple(value.type for value in program.inputs),
            tuple(value.type for value in program.parameters),
            tuple(value.type for value in program.outputs),
            lines,
            results,
        )
        self.single = tuple(single) or (False,) * len(program.inputs)
        self.chunks: dict[tuple, tuple] = {}
        self.tables: dict[tuple, Any] = {}

    def __call__(self, columns: Sequence[Sequence[Any]], numbers: Sequence[Any] = ()) -> None:
        """Compute all rows; `columns` are the inputs' arrays, then the outputs'."""
        sizes = tuple([array.size for array in columns[-1]])
        if not any(sizes):
            return
        places = tuple([address(array) for column in columns for array in column])
        moving = [k for k, single in enumerate(self.single) if not single]
        moving += range(len(self.single), len(columns))
        aligned = not any(at & 15 for k in moving for at in places[k * len(sizes) : (k + 1) * len(sizes)])
        call, chunks = self._chunks(sizes, aligned)
        table = self._table(sizes, places, len(columns))
        self.launch(call.kernel, call.grid, (address(table), address(chunks), *numbers))

    def _chunks(self, sizes: tuple[int, ...], aligned: bool) -> tuple:
        key = sizes, aligned
        if key not in self.chunks:
            if len(self.chunks) >= _TABLES and not capture.active:  # shapes that come and go must not fill the memory
                self.chunks.clear()
            block, span = self.module.tile(sizes)
            found = np.array(self.module.chunks(sizes, span), np.int64)
            variant = self.module.Variant(self.single, aligned, block, span)
            self.chunks[key] = self.module.prepare(self.expression, variant, len(found)), to_device(found)
        return self.chunks[key]

    def _table(self, sizes: tuple[int, ...], places: tuple[int, ...], width: int) -> Any:
        key = sizes, places
        if key not in self.tables:
            if len(self.tables) >= _TABLES and not capture.active:  # a graph reads its tables at every replay
                self.tables.pop(next(iter(self.tables)))
            rows = np.array((sizes, *[places[k * len(sizes) : (k + 1) * len(sizes)] for k in range(width)]), np.int64)
            self.tables[key] = to_device(np.ascontiguousarray(rows.T))
        return self.tables[key]


def norms(arrays: Sequence[Any], order: int) -> Any:
    """The norms of order 1, 2 or 0 (the largest magnitude) of dense arrays of one floating dtype, in one array."""
    module = kernel_module("multi_tensor")
    dtype = arrays[0].dtype
    sizes = tuple([array.size for array in arrays])
    block, span = module.tile(sizes)
    table = np.array([(array.size, address(array)) for array in arrays], np.int64)
    chunks = np.array(module.chunks(sizes, span), np.int64).reshape(-1, 2)
    starts = np.searchsorted(chunks[:, 0], np.arange(len(sizes) + 1)).astype(np.int64)
    state = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    partial, result = empty((max(len(chunks), 1),), state), empty((len(sizes),), dtype)
    language = kernel_module("compile").tl
    options = {"ORDER": order, "STATE": getattr(language, state.name), "BLOCK": block}
    if len(chunks):
        tiles = {"TYPE": getattr(language, dtype.name), "ALIGNED": bool(not (table[:, 1] & 15).any()), "SPAN": span}
        run(module.partial_norms, (len(chunks),), to_device(table), to_device(chunks), partial, **tiles, **options)
    run(module.norms, (len(sizes),), partial, to_device(starts), result, **options)
    return result


def alike(row: Sequence[Any]) -> bool:
    """Whether arrays have one shape and lie in memory without gaps in one order, so that a flat index serves all."""
    first = row[0]
    if all(array.flags.c_contiguous and array.shape == first.shape for array in row):
        return True
    strides = element_strides(first)
    step = 1
    for size, stride in sorted(zip(first.shape, strides, strict=True), key=lambda dim: (dim[1], dim[0])):
        if size != 1:
            if stride != step:
                return False
            step *= size
    return all(array.shape == first.shape and element_strides(array) == strides for array in row)
