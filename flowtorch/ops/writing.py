"""Ops that are a copy of their input with something written into it: scatter, index_add, masked_fill and their like.

The body writes into its first argument. The op runs it on a copy; the in-place form on the tensor's own memory.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch import overrides
from flowtorch.array import copies
from flowtorch.array.place import placed
from flowtorch.array.tensortype import tensor_type
from flowtorch.autograd.mode import grad_enabled
from flowtorch.autograd.node import view_edge
from flowtorch.dtypes import LOW_PRECISION
from flowtorch.errors import explain
from flowtorch.ops import dispatch, overlap
from flowtorch.ops.dispatch import check_inplace, interpret, interpret_inplace, make_node, rebase_history
from flowtorch.ops.families import General
from flowtorch.ops.fast_general import closure
from flowtorch.ops.op import Op
from flowtorch.ops.order import copy_of, with_gaps
from flowtorch.tensor import Tensor, wrap

_active = overrides.active
_C_NAMES = {"uint8": "uint8_t", "int8": "int8_t", "int16": "int16_t", "int32": "int", "int64": "int64_t",
            "uint16": "uint16_t", "uint32": "uint32_t", "uint64": "uint64_t", "float32": "float",
            "float64": "double", "float16": "c10::Half", "bfloat16": "c10::BFloat16"}


class Writing(General):
    """A copy of the input, changed by the body."""

    name = "writing"

    def compute(self, op: Op, values: list) -> Any:
        result = super().compute(op, values)
        if values[0]._type.simple:
            op.plans[values[0]._type] = True                            # the fast path may take over
        return result


_writing = Writing()


def _in_rows(array: np.ndarray) -> np.ndarray:
    return copies.duplicate(array) if array.flags.c_contiguous else np.array(array, order="C")


def writing(
    tensors: tuple[str, ...], prepare: Callable | None = None, order: str = "keep", **options: Any
) -> Callable:
    """Decorator: define an op and its in-place form by a body that writes into its first argument.

    ``prepare(values)`` may change the bound arguments first, e.g. make a tensor of a number. The body must find every
    fault before it writes. ``order``: whether the copy keeps the input's order of dimensions in memory ("keep"), or
    even its gaps ("gaps"), or is contiguous ("rows").
    """
    copy = {"keep": copy_of, "gaps": with_gaps, "rows": _in_rows}[order]

    def define(write: Callable) -> Any:
        name = options.pop("name", None) or write.__name__.strip("_")
        op = Op(name, _writing, write, tensors=tensors, **{"inplace": True, "low": "keep", **options})

        def body(input: np.ndarray, *args: Any, **kwargs: Any) -> np.ndarray:
            out = copy(input)
            write(out, *args, **kwargs)
            return out

        op.body = body

        def prepared(*args: Any, **kwargs: Any) -> Any:
            out = kwargs.pop("out", None)
            assert prepare is not None
            return interpret(op, tuple(prepare(op.bind(args, kwargs))), {"out": out})

        def call_(*args: Any, **kwargs: Any) -> Any:
            values = op.bind(args, kwargs)
            return write_inplace(op, write, values if prepare is None else prepare(values))

        call: Any = closure(op) if prepare is None else prepared
        named: tuple[tuple[Any, str], ...] = ((call, name), (call_, name + "_"))
        for public, label in named:
            dispatch.name_function(public, op, label)
            if public is not call or prepare is not None:
                dispatch.attach_signature(public, op)
            public.derivative = op.derivative
        op.public, op.public_inplace = call, call_                      # type: ignore[attr-defined]
        return call
    return define


def write_inplace(op: Op, write: Callable, values: list) -> Any:
    """Run ``write`` on the first argument's memory and record it; by way of a copy where a derivative needs the old."""
    target = values[0]
    inputs = dispatch.flat_inputs(op, values)
    if _active or not all(isinstance(t, Tensor) and t._type.fast for t in inputs) or (
            op.low != "keep" and target._type.dtype in LOW_PRECISION) or target._type.device.type != "cpu":
        return interpret_inplace(op, tuple(values[:op.positional]), dict(zip(op.names[op.positional:],
                                                                            values[op.positional:], strict=True)))
    recording = grad_enabled() and any(t.requires_grad for t in inputs)
    if recording and (op.savers[0] or op.wants_out):
        return interpret_inplace(op, tuple(values[:op.positional]), dict(zip(op.names[op.positional:],
                                                                            values[op.positional:], strict=True)))
    check_inplace(target, recording)
    overlap.check_written(op, target, inputs[1:])
    a = target._array
    arrays = [v._array if isinstance(v, Tensor) else v for v in values]
    for i, v in enumerate(arrays[1:], 1):
        if isinstance(v, np.ndarray) and np.may_share_memory(v, a):
            arrays[i] = v.copy()
    try:
        write(*arrays[:op.positional], **dict(zip(op.names[op.positional:], arrays[op.positional:], strict=True)))
    except Exception as error:
        raise explain(op, values, error) from None
    target._bump_version()
    if recording and target._type.dtype.rank >= 2:
        record_written(op, values, target)
    return target


def record_written(op: Op, values: list, target: Any) -> None:
    """Put the node of an in-place op, whose kernel has already written into ``target``, behind it."""
    inputs = dispatch.flat_inputs(op, values)
    edges = tuple([view_edge(t) if t._view is not None else (t._node or t) if t._requires_grad else None
                   for t in inputs])
    if any(e is not None for e in edges):
        node = make_node(op, values, inputs, edges)
        node.shape, node.type = target._array.shape, target._type
        rebase_history(target, node)


def check_number(value: Any, dtype: Any, exact_half: bool = False) -> None:
    """RuntimeError if a Python number does not fit ``dtype``, by PyTorch's rule."""
    if type(value) is int and not -2 ** 63 <= value < 2 ** 63:
        raise ValueError("Overflow when unpacking long long")
    if dtype.is_complex or dtype.name == "bool" or type(value) is bool:
        return
    bad = type(value) is complex and value.imag != 0
    if not bad and dtype.rank == 1:
        info = np.iinfo(dtype.numpy)
        real = value.real
        low = -int(info.max) if info.min == 0 else int(info.min)      # PyTorch lets negative numbers wrap
        bad = real != real or not low <= real <= int(info.max)
    if exact_half and not bad and dtype.name == "float16":
        bad = 65504 < abs(value.real) < float("inf")
    if bad:
        raise RuntimeError(f"value cannot be converted to type {_C_NAMES.get(dtype.name, dtype.name)} without overflow")


def number_tensor(value: Any, like: Any, exact_half: bool = False) -> Tensor:
    """A Python number as a 0-d tensor of ``like``'s dtype and device; RuntimeError if it does not fit."""
    t = like._type
    number = value.item() if isinstance(value, np.generic) else value
    check_number(number, t.dtype, exact_half)
    return wrap(placed(np.asarray(t.scalar(number)).astype(t.numpy), t.device), tensor_type(t.dtype, t.device))
