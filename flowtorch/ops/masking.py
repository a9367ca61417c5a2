"""Choosing by a mask: where, masked_fill, masked_select, masked_scatter, nonzero."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from flowtorch import dtypes, overrides
from flowtorch.array.tensortype import tensor_type
from flowtorch.autograd.mode import grad_enabled, grad_mode
from flowtorch.ops import dispatch
from flowtorch.ops.dispatch import interpret, record
from flowtorch.ops.families import Pointwise, common_device, result_dtype
from flowtorch.ops.op import REGISTRY, Op
from flowtorch.tensor import Tensor, wrap

_active = overrides.active
_NUMBERS = (int, float, complex, np.generic)


class Where(Pointwise):
    """A choice between two promoted operands by a mask that takes no part in promotion."""

    name = "where"

    def compute(self, op: Op, values: list) -> Any:
        condition, input, other = values
        for x, name in ((input, "input"), (other, "other")):
            if not isinstance(x, (Tensor, *_NUMBERS)):
                raise TypeError(f"where(): argument '{name}' must be Tensor or Number, not {type(x).__name__}")
        if not isinstance(condition, Tensor):
            raise TypeError("where(): argument 'condition' (position 1) must be Tensor, "
                            f"not {type(condition).__name__}")
        mask = condition._array
        if condition._type.dtype.name == "uint8":
            warnings.warn("where received a uint8 condition tensor. This behavior is deprecated and will be removed in a "
                          "future version of PyTorch. Use a boolean condition instead.", stacklevel=5)
            mask = mask.astype(bool)
        elif condition._type.dtype.name != "bool":
            raise RuntimeError("where expected condition to be a boolean tensor, but got a tensor with dtype "
                               f"{condition._type.dtype.label}")
        device = common_device("where", [x for x in values if isinstance(x, Tensor)])
        t = tensor_type(result_dtype((input, other)), device)
        if device.type != "cpu":
            return wrap(self.plan(op, t)[0](mask, *[self.operand(x, t) for x in (input, other)]), t)
        a, b = (self.operand(x, t) for x in (input, other))
        out = np.where(mask, a, b)
        return wrap(out if out.dtype == t.numpy else out.astype(t.numpy), t)


def _where_body(condition, input, other):
    """``input`` where ``condition`` holds, ``other`` elsewhere, with broadcasting."""
    return np.where(condition, input, other)


_where = Op("where", Where(), _where_body, tensors=("condition", "input", "other"), linear=("input", "other"),
            method=False, expr="where(condition, input, other)",
            vjp=(None, lambda g, condition: where(condition, g, 0), lambda g, condition: where(condition, 0, g)))


def where(condition: Any, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """``input`` where ``condition`` holds, ``other`` elsewhere, with broadcasting; without them the indices of True."""
    if not _active and out is None:
        try:
            tx = input._type if type(input) is not float else other._type
            if condition._type.dtype is dtypes.bool_ and condition._type.plain and tx.fast and (
                    not grad_mode.inference and tx.dtype.rank >= 2):
                kind = type(other)
                a = input._array if type(input) is not float else tx.scalar(input)
                b = (other._array if other._type is tx else None) if kind is not float and kind is not int else (
                    tx.scalar(other))
                if b is not None and (type(input) is not float or kind is Tensor) and tx.compute is tx.numpy:
                    t = wrap(np.where(condition._array, a, b), tx)
                    if grad_enabled():
                        for x in (input, other):
                            if type(x) is Tensor and (x._requires_grad or x._view is not None):
                                record(_where, [condition, input, other], t)
                                break
                    return t
        except Exception:
            pass
    if input is None and other is None:
        return REGISTRY["nonzero"].public(condition, as_tuple=True)
    if input is None or other is None:
        raise TypeError("where() received an invalid combination of arguments - got "
                        f"({', '.join(type(x).__name__ for x in (condition, input, other) if x is not None)}), but expected "
                        "one of: (Tensor condition), (Tensor condition, Tensor input, Tensor other, *, Tensor out = None), "
                        "(Tensor condition, Number self, Tensor other), (Tensor condition, Tensor input, Number other), "
                        "(Tensor condition, Number self, Number other)")
    return interpret(_where, (condition, input, other), {"out": out})


_where.public = where
where.op = _where                                                       # type: ignore[attr-defined]
dispatch.name_function(where, _where)


def _where_method(self: Any, condition: Any, other: Any = None) -> Any:
    """``self`` where ``condition`` holds, ``other`` elsewhere."""
    if other is None:
        raise TypeError("where() received an invalid combination of arguments - got "
                        f"({type(condition).__name__}), but expected one of: (Tensor condition, Tensor other), "
                        "(Tensor condition, Number other)")
    return where(condition, self, other)


Tensor.where = _where_method                                            # type: ignore[attr-defined]
