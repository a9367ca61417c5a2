"""The fast path of pointwise ops: of one tensor, of two, and of a tensor and a Python number.

These are written out rather than compiled from a template: they are the hottest code there is, and every line counts.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch import overrides
from flowtorch.autograd.mode import grad_enabled
from flowtorch.autograd.node import next_seq, save, save_output, saved_hooks, view_edge
from flowtorch.native import calls
from flowtorch.ops.dispatch import interpret, name_function, record
from flowtorch.ops.op import Op
from flowtorch.ops.order import in_order
from flowtorch.tensor import Tensor

active = overrides.active
_new: Any = object.__new__
_ndarray = np.ndarray
_asarray = np.asarray


def unary(op: Op) -> Callable:
    """Fast path of an op of one tensor and no parameters."""
    plans, node_class = op.plans, op.node_class
    keep_input, keep_output = bool(op.savers[0]), op.wants_out
    differentiable = op.differentiable

    def call(input: Any, *, out: Any = None) -> Any:
        if active or out is not None:
            return interpret(op, (input,), {"out": out})
        try:
            plan = plans[input._type]
            a = input._array
            c = plan[0](a)
            if type(c) is not _ndarray:
                c = _asarray(c)
            t = _new(Tensor)
            t._array = c
            t._type = plan[1]
            t._requires_grad = False
            t._node = None
            t._grad = None
            t._counter = 0
            t._view = None
            if (input._requires_grad or input._view is not None) and differentiable and grad_enabled():
                e = view_edge(input) if input._view is not None else input._node or input
                if e is not None and plan[1].dtype.rank >= 2:
                    n = node_class()
                    n.seq = next_seq()
                    n.edges = (e,)
                    n.hooks = None
                    n.shape = c.shape
                    n.type = plan[1]
                    if saved_hooks.stack:
                        save(n, (input if keep_input else None,))
                        if keep_output:
                            save_output(n, t)
                    else:
                        if keep_input:
                            v = input._counter
                            n.saved = (input,)
                            n.versions = (v if type(v) is int else v[0],)
                        else:
                            n.saved = ()
                        if keep_output:
                            t._counter = v = [0]
                            n.out = (c, v, 0)
                    if op.wants_shapes:
                        n.shapes = ((a.shape, input._type.dtype),)
                    t._node = n
                    t._requires_grad = True
            return t
        except Exception:  # the complete path does it again, and says what is wrong
            return interpret(op, (input,), {})

    name_function(call, op)
    return calls.pointwise("unary", op, call)


def _laid_out(c: Any, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A ufunc's result in PyTorch's order of dimensions (numpy resolves unlike orders otherwise), an array at any rate.
    """
    if type(c) is not _ndarray:
        return _asarray(c)
    if c.ndim < 2 or (a.flags.c_contiguous and b.flags.c_contiguous and c.flags.c_contiguous):
        return c
    return in_order(c, a, b)


def binary(op: Op, reverse: bool = False, operator: bool = False) -> Callable:
    """Fast path of an op of two tensors, the second of which may be a Python number.

    ``reverse``: the closure takes (other, input), for reflected operators. ``operator``: a wrong operand type gives
    NotImplemented, so that Python asks the other operand.
    """
    plans, float_plans, int_plans, node_class = op.plans, op.float_plans, op.int_plans, op.node_class
    keep_input, keep_other, keep_output = bool(op.savers[0]), bool(op.savers[1]), op.wants_out
    input_savers, other_savers = op.savers
    input_for_input, input_for_other = 0 in input_savers, 1 in input_savers
    other_for_input, other_for_other = 0 in other_savers, 1 in other_savers
    differentiable, wants_shapes = op.differentiable, op.wants_shapes

    def slow(input: Any, other: Any, kwargs: dict) -> Any:
        if operator:
            return interpret_operator(op, input, other, reverse)
        return interpret(op, (input, other), kwargs)

    def call(input: Any, other: Any, *, out: Any = None) -> Any:
        if active or out is not None:
            return slow(input, other, {"out": out})
        try:
            tx = input._type
            kind = type(other)
            if kind is float or kind is int:
                plan = float_plans[tx] if kind is float else int_plans[tx]
                b = tx.scalars.get(other) if other else None
                if b is None:
                    b = tx.scalar(other)
                a = input._array
                c = plan[0](a, b) if not reverse else plan[0](b, a)
                if type(c) is not _ndarray:
                    c = _asarray(c)
                t = _new(Tensor)
                t._array = c
                t._type = plan[1]
                t._requires_grad = False
                t._node = None
                t._grad = None
                t._counter = 0
                t._view = None
                if (input._requires_grad or input._view is not None) and differentiable and grad_enabled():
                    e = view_edge(input) if input._view is not None else input._node or input
                    if e is not None:
                        if wants_shapes or saved_hooks.stack:
                            record(op, fill(op, other, input) if reverse else fill(op, input, other), t)
                        else:
                            n = node_class()
                            n.seq = next_seq()
                            n.hooks = None
                            n.shape = c.shape
                            n.type = plan[1]
                            if reverse:                    # the tensor is the op's second operand
                                v = input._counter
                                n.edges = (None, e)
                                n.saved = (other, input if other_for_other else None)
                                n.versions = (None, (v if type(v) is int else v[0]) if other_for_other else None)
                            elif input_for_input:
                                v = input._counter
                                n.edges = (e, None)
                                n.saved = (input, other)
                                n.versions = (v if type(v) is int else v[0], None)
                            else:
                                n.edges = (e, None)
                                n.saved = (None, other)
                                n.versions = (None, None)
                            if keep_output:
                                t._counter = v = [0]
                                n.out = (c, v, 0)
                            t._node = n
                            t._requires_grad = True
                return t
            if other._type is not tx:
                return slow(input, other, {})
            plan = plans[tx]
            a = input._array
            b = other._array
            c = plan[0](a, b) if not reverse else plan[0](b, a)
            steps = a.strides
            if steps != b.strides or not steps or input._view is not None:
                c = _laid_out(c, a, b) if not reverse else _laid_out(c, b, a)
            t = _new(Tensor)
            t._array = c
            t._type = plan[1]
            t._requires_grad = False
            t._node = None
            t._grad = None
            t._counter = 0
            t._view = None
            if input._requires_grad or other._requires_grad or input._view is not None or other._view is not None:
                if not differentiable or not grad_enabled():
                    return t
                if reverse or wants_shapes or saved_hooks.stack:
                    record(op, fill(op, other, input) if reverse else fill(op, input, other), t)
                    return t
                if input._view is not None:
                    ex = view_edge(input)
                else:
                    ex = (input._node or input) if input._requires_grad else None
                if other._view is not None:
                    ey = view_edge(other)
                else:
                    ey = (other._node or other) if other._requires_grad else None
                if ex is None and ey is None:
                    return t
                n = node_class()
                n.seq = next_seq()
                n.edges = (ex, ey)
                n.hooks = None
                n.shape = c.shape
                n.type = plan[1]
                if keep_input or keep_other:
                    kx = keep_input and ((ex is not None and input_for_input) or (ey is not None and input_for_other))
                    ky = keep_other and ((ex is not None and other_for_input) or (ey is not None and other_for_other))
                    v, w = input._counter, other._counter
                    n.saved = (input if kx else None, other if ky else None)
                    n.versions = ((v if type(v) is int else v[0]) if kx else None,
                                  (w if type(w) is int else w[0]) if ky else None)
                else:
                    n.saved = ()
                if keep_output:
                    t._counter = v = [0]
                    n.out = (c, v, 0)
                t._node = n
                t._requires_grad = True
            return t
        except Exception:  # the complete path does it again, and says what is wrong
            return slow(input, other, {})

    name_function(call, op)
    if operator:        # Python passes two operands: a parameter for a name alone would cost a look-up
        code = call.__code__
        call.__code__ = code.replace(co_argcount=3, co_kwonlyargcount=0)
        call.__kwdefaults__, call.__defaults__ = None, (None,)      # type: ignore[assignment]
    if op.names[:2] != ("input", "other") and not reverse:  # torch.pow(x, exponent=2): the op's names for its operands
        code, own = call.__code__, dict(zip(("input", "other"), op.names[:2], strict=True))
        call.__code__ = code.replace(co_varnames=tuple(own.get(n, n) for n in code.co_varnames))
    return calls.pointwise("reflected" if reverse else "binary", op, call)


def binary_alpha(op: Op) -> Callable:
    """``add`` and ``sub``: the binary fast path, with an optional factor on the second operand."""
    plain = binary(op)

    def call(input: Any, other: Any, *more: Any, alpha: Any = 1, out: Any = None) -> Any:
        if more or (alpha is not None and alpha != 1):
            return interpret(op, (input, other, *more), {"alpha": alpha, "out": out})
        return plain(input, other, out=out)

    name_function(call, op)
    return calls.pointwise("binary", op, call)


def fill(op: Op, *tensors: Any) -> list:
    """Parameter values of a call that gives only the tensors."""
    values = list(tensors)
    for n in op.names[len(values):]:
        values.append(op.defaults[n])
    return values


def interpret_operator(op: Op, input: Any, other: Any, reverse: bool) -> Any:
    """``interpret`` for an operator: NotImplemented for operands that are neither tensors nor numbers."""
    if not isinstance(other, (Tensor, int, float, complex, np.generic, np.ndarray)) and not hasattr(
            type(other), "__torch_function__"):
        return NotImplemented
    if isinstance(other, np.ndarray):
        from flowtorch.ops.factory import as_tensor

        other = as_tensor(other)
    return interpret(op, (other, input) if reverse else (input, other), {})
