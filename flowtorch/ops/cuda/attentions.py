"""Scaled dot-product attention on the device, forward and backward, without the matrix of weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowtorch.array.cuda import element_strides, empty, kernel_module
from flowtorch.codegen import triton_kernel
from flowtorch.codegen.dtypes import compute_type
from flowtorch.codegen.triton_map import run
from flowtorch.ops.cuda.base import dense, folded, kernel, zeros
from flowtorch.ops.cuda.places import spread_to
from flowtorch.ops.cuda.randoms import _long
from flowtorch.ops.cuda.scans import state_type


def _four(array: Any, batch: tuple) -> Any:
    """The array as (batch, heads, rows, columns) with columns next to each other in memory."""
    heads = array.shape[-3] if array.ndim > 2 else 1
    if array.shape[:-3] != batch:
        array = spread_to(array, (*batch, heads, *array.shape[-2:]))
    steps = element_strides(array)
    if array.ndim != 4 or (array.shape[-1] > 1 and steps[-1] != 1):
        array = dense(array).reshape(math.prod(batch), heads, *array.shape[-2:])
    return array


def _tiles(itemsize: int, width: int, backward: bool) -> tuple[int, int]:
    """Queries and keys of a tile, as many as the registers of eight warps hold beside a head of ``width``."""
    if itemsize > 2:
        return (64, 32) if width <= 64 and not backward else (32, 16) if (
            width <= 64 or (width <= 128 and not backward)) else (16, 16)
    if backward:
        return (64, 64) if width <= 64 else (32, 32)
    return (128, 64) if width <= 64 else (64, 64) if width <= 128 else (64, 32)


class _Problem:
    """The operands of one call in the kernels' form, with tiles that suit the head size."""

    def __init__(self, query: Any, key: Any, value: Any, mask: Any, is_causal: bool, scale: float,
                 drop: tuple | None, backward: bool = False):  # fmt: skip
        import triton

        batch = np.broadcast_shapes(*(a.shape[:-3] for a in (query, key, value)))
        self.q, self.k, self.v = (_four(a, batch) for a in (query, key, value))
        self.batches, self.heads, self.length, self.width = self.q.shape
        self.steps, self.depth = self.k.shape[-2], self.v.shape[-1]
        self.shape = (*batch, *((self.heads,) if query.ndim > 2 else ()), self.length)
        if self.heads % self.k.shape[1]:
            raise RuntimeError("Number of heads in key and value must divide the number of heads in query")
        self.kind = 0 if mask is None else 1 if mask.dtype == bool else 2
        full = (self.batches, self.heads, self.length, self.steps)
        self.mask = self.q if mask is None else spread_to(_lead(mask, batch), (*batch, self.heads, *full[2:]))
        if mask is not None and len(batch) != 1:
            self.mask = dense(self.mask).reshape(full)
        self.scale = np.float64(scale) if query.dtype == np.float64 else float(scale)
        size = [max(16, triton.next_power_of_2(n)) for n in (self.width, self.depth)]
        limits = _tiles(query.dtype.itemsize, max(size), backward)
        length, steps = (max(16, min(limit, triton.next_power_of_2(max(n, 1))))
                         for limit, n in zip(limits, (self.length, self.steps), strict=True))  # fmt: skip
        self.options = {
            "GROUP": self.heads // self.k.shape[1], "MASK": self.kind, "CAUSAL": bool(is_causal),
            "DROP": drop is not None, "STATE": state_type(query.dtype.name), "LENGTH": length, "STEPS": steps,
            "WIDTH": size[0], "DEPTH": size[1], "warps": 4 if max(size) <= 32 else 8, "stages": 2,
        }  # fmt: skip
        self.drawn = drawn(drop)

    def sizes(self) -> tuple:
        """The draw, the integers and the scale that every kernel takes after its operands."""
        found = [*self.drawn, self.heads, self.length, self.steps, self.width, self.depth, self.scale]
        for array in (self.q, self.k, self.v):
            found += element_strides(array)[:3]
        return (*found, *(element_strides(self.mask) if self.kind else (0,) * 4))


def _lead(mask: Any, batch: tuple) -> Any:
    return mask.reshape((1,) * (len(batch) + 3 - mask.ndim) + mask.shape)


@kernel("attention")
def attention(query: Any, key: Any, value: Any, mask: Any = None, is_causal: bool = False, scale: float = 1.0,
              drop: tuple | None = None) -> tuple:  # fmt: skip
    """(output, logarithm of each row's sum), the second where the CPU's kernel keeps the weights."""
    p = _Problem(query, key, value, mask, is_causal, scale, drop)
    result = empty((*p.shape, p.depth), query.dtype)
    log = empty(p.shape, np.dtype(compute_type(query.dtype.name)))
    if not p.steps:
        return zeros(result.shape, query.dtype), log
    if result.size:
        grid = (-(-p.length // p.options["LENGTH"]), p.batches * p.heads)
        run(kernel_module("attention").forward, grid, p.q, p.k, p.v, p.mask, result, log, *p.sizes(), **p.options)
    return result, log


@kernel("attention_adjoint")
def attention_adjoint(grad: Any, output: Any, kept: Any, query: Any, key: Any, value: Any, mask: Any = None,
                      is_causal: bool = False, scale: float = 1.0, drop: tuple | None = None) -> tuple:
    """The gradients in query, key and value."""
    p = _Problem(query, key, value, mask, is_causal, scale, drop, backward=True)
    g = dense(grad)
    tilt = folded("sum", "g * o", {"g": g, "o": output}, (g.ndim - 1,), kept.dtype.name)
    shared = (*p.shape[:-2], p.k.shape[1]) if query.ndim > 2 else ()
    dq = empty((*p.shape, p.width), query.dtype)
    dk, dv = empty((*shared, p.steps, p.width), key.dtype), empty((*shared, p.steps, p.depth), value.dtype)
    if not (p.steps and g.size):
        return tuple(zeros(array.shape, array.dtype) for array in (dq, dk, dv))
    given = (p.q, p.k, p.v, p.mask, g, kept, tilt)
    module = kernel_module("attention")
    run(module.query_gradient, (-(-p.length // p.options["LENGTH"]), p.batches * p.heads), *given, dq, *p.sizes(),
        **p.options)
    run(module.key_gradient, (-(-p.steps // p.options["STEPS"]), p.batches * p.k.shape[1]), *given, dk, dv, *p.sizes(),
        **p.options)
    return dq, *(_back(array, like) for array, like in ((dk, key), (dv, value)))


def drawn(drop: tuple | None) -> tuple:
    """A draw (probability, seed, offset) as arguments of a kernel."""
    probability, seed, offset = (0.0, 0, 0) if drop is None else drop
    return float(probability), _long(seed), np.int64(offset & 0x7FFFFFFF), np.int64(offset >> 31)


@kernel("_attention_dropped")
def attention_dropped(input: Any, drop: tuple) -> Any:
    import triton

    x = dense(input)
    result = empty(x.shape, x.dtype)
    if x.size:
        length, steps = x.shape[-2:]
        cols = max(4, min(1024, triton.next_power_of_2(steps)))
        rows = max(1, min(1024 // cols, triton.next_power_of_2(length)))
        grid = (-(-length // rows), -(-steps // cols), math.prod(x.shape[:-2]))
        run(kernel_module("attention").dropped, grid, x, result, length, steps, *drawn(drop), ROWS=rows, STEPS=cols)
    return result


def _back(array: Any, like: Any) -> Any:
    """The gradient summed over the batches that were broadcast."""
    if array.shape == like.shape:
        return array
    extra = array.ndim - like.ndim
    axes = (*range(extra), *(extra + d for d, n in enumerate(like.shape) if n == 1 and array.shape[extra + d] != 1))
    return triton_kernel.reduce("sum", array, axes, array.dtype.name).reshape(like.shape)
