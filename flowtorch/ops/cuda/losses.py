"""Losses on the device: cross entropy and negative log likelihood of class indices, and squared differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.array.cuda import empty, faults, instant, kernel_module
from flowtorch.codegen import triton_kernel
from flowtorch.codegen.dtypes import compute_type
from flowtorch.codegen.triton_map import grid_map, run
from flowtorch.ops import loss as losses
from flowtorch.ops.cuda.base import cast, dense, folded, formula, from_rows, joined, kernel, parts, rows_last
from flowtorch.ops.cuda.places import spread_to
from flowtorch.ops.cuda.scans import state_type, tile

_FAULT = "nll_loss: Target is out of bounds"


def _check(target: Any, ignore_index: int, classes: int) -> None:
    """Refuse targets outside the classes where looking at them costs nothing."""
    if instant():
        losses._weights(target, None, ignore_index, classes, np.dtype(np.float32))


def _sum(values: Any, dtype: str) -> Any:
    return triton_kernel.reduce("sum", values, tuple(range(values.ndim)), dtype)


def _divide(left: Any, right: Any, dtype: str) -> Any:
    return formula("a / b", (("a", left.dtype.name), ("b", right.dtype.name)), (), dtype)(left, right)


def _rows(input: Any, target: Any) -> tuple:
    rows, rest = rows_last(input, 1)
    return rows, rest, dense(target).reshape(-1), tile(rows.shape[0], rows.shape[1], 4096)


def _cross_entropy_rows(input: Any, target: Any, weight: Any, ignore_index: int) -> tuple:
    _check(target, ignore_index, input.shape[1])
    rows, rest, places, sizes = _rows(input, target)
    wide = np.dtype(compute_type(input.dtype.name))
    loss, total = empty((len(rows),), wide), empty((len(rows),), wide)
    if rows.size:
        w = rows if weight is None else dense(weight)
        run(kernel_module("losses").cross_entropy, (-(-len(rows) // sizes["ROWS"]),), rows, places, w, loss, total,
            faults.word(), *rows.shape, ignore_index, faults.code(_FAULT), STATE=state_type(input.dtype.name),
            WEIGHT=weight is not None, **sizes)
    return loss, total, rest


@kernel("_cross_entropy")
def cross_entropy(input: Any, target: Any, weight: Any = None, reduction: str = "mean",
                  ignore_index: int = -100) -> Any:
    loss, total, rest = _cross_entropy_rows(input, target, weight, ignore_index)
    name, state = input.dtype.name, loss.dtype.name
    if reduction == "none":
        return cast(loss, input.dtype).reshape(rest)
    if reduction == "sum":
        return _sum(loss, name)
    return _divide(_sum(loss, state), _sum(total, state), name)


@kernel("_cross_entropy_backward")
def cross_entropy_backward(grad: Any, input: Any, target: Any, weight: Any = None, reduction: str = "mean",
                           ignore_index: int = -100) -> Any:
    rows, rest, places, sizes = _rows(input, target)
    result = empty(rows.shape, input.dtype)
    total = grad
    if reduction == "mean":
        total = _sum(_target_weights(target, weight, ignore_index, input), compute_type(input.dtype.name))
    if rows.size:
        w = rows if weight is None else dense(weight)
        step = 0 if reduction != "none" else 1
        run(kernel_module("losses").cross_entropy_backward, (-(-len(rows) // sizes["ROWS"]),),
            dense(grad).reshape(-1), rows, places, w, total, result, faults.word(), *rows.shape, ignore_index,
            faults.code(_FAULT), step, STATE=state_type(input.dtype.name), WEIGHT=weight is not None,
            MEAN=reduction == "mean", **sizes)
    return from_rows(result, rest, 1)


def _target_weights(target: Any, weight: Any, ignore_index: int, input: Any) -> Any:
    """The weight of every place: 0 where it is ignored."""
    result = empty(target.shape, np.dtype(compute_type(input.dtype.name)))
    lines = ["counts = m & (t != ignore)"]
    tables = {}
    if weight is None:
        lines.append("w = counts.to(tl.float32)")
    else:
        lines.append("w = tl.load(weight_ptr + t, mask=counts, other=0)")
        tables["weight"] = dense(weight)
    grid_map("target_weights", target.shape, lines, {"t": target}, {"w": result}, tables, {"ignore": ignore_index})
    return result


@kernel("_nll_loss")
def nll_loss(input: Any, target: Any, weight: Any = None, reduction: str = "mean", ignore_index: int = -100) -> tuple:
    _check(target, ignore_index, input.shape[1])
    name = input.dtype.name
    weights = _target_weights(target, weight, ignore_index, input)
    state = weights.dtype.name
    rows = rows_last(input, 1)[0]
    loss = empty(target.shape, weights.dtype)
    lines = [
        "inside = (t >= 0) & (t < classes)",
        "tl.store(fault_ptr + i * 0, code, mask=m & (inside == 0) & (t != ignore))",
        f"x = tl.load(x_ptr + i * classes + t, mask=m & inside, other=0).to(tl.{state})",
        "y = tl.where(w == 0, 0.0, -x * w)",
    ]
    numbers = {"classes": input.shape[1], "code": faults.code(_FAULT), "ignore": ignore_index}
    grid_map("nll", target.shape, lines, {"t": target, "w": weights}, {"y": loss},
             {"x": rows, "fault": faults.word()}, numbers)
    total = _sum(weights, name)
    if reduction == "none":
        return cast(loss, input.dtype), total
    if reduction == "sum":
        return _sum(loss, name), total
    return _divide(_sum(loss, state), _sum(weights, state), name), total


@kernel("_nll_loss_backward")
def nll_loss_backward(grad: Any, target: Any, weight: Any = None, total: Any = None, input_shape: tuple = (),
                      reduction: str = "mean", ignore_index: int = -100) -> Any:
    result = empty(tuple(input_shape), grad.dtype)
    weights = _target_weights(target, weight, ignore_index, grad)
    shape = result.shape
    inputs = {part: spread_to(array.reshape((shape[0], 1, *shape[2:])), shape)
              for part, array in (("t", target), ("w", weights))}  # fmt: skip
    inputs["g"] = grad if grad.ndim == 0 else grad.reshape((shape[0], 1, *shape[2:]))
    value = "-w * g / n" if reduction == "mean" else "-w * g"
    if reduction == "mean":
        inputs["n"] = total
    lines = [f"y = tl.where((t == c1) & (w != 0), {value}, 0.0)"]
    state = compute_type(grad.dtype.name)
    lines.insert(0, f"g = g.to(tl.{state})")
    grid_map("nll_backward", shape, lines, inputs, {"y": result})
    return result


@kernel("_mse_loss")
def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    name = input.dtype.name
    types = (("x", name), ("t", target.dtype.name))
    if reduction == "none":
        return formula("(x - t) * (x - t)", types, (), name)(input, target)
    dims = range(max(input.ndim, target.ndim))
    if input.dtype.kind == "c":
        squares = mse_loss(input, target, "none")
        real, imag = (triton_kernel.reduce(reduction, part, tuple(dims), part.dtype.name) for part in parts(squares))
        return joined(real, imag, input.dtype)
    return folded(reduction, "(x - t) * (x - t)", {"x": input, "t": target}, tuple(dims), name)
