"""Choosing by a mask: where, masked_fill, masked_select, masked_scatter, nonzero."""
from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from flowtorch import dtypes, overrides
from flowtorch.array.select import select
from flowtorch.array.tensortype import tensor_type
from flowtorch.autograd.mode import grad_enabled
from flowtorch.errors import broadcast_error
from flowtorch.ops import dispatch, overlap
from flowtorch.ops.dispatch import interpret, record
from flowtorch.ops.families import Pointwise, common_device, op, result_dtype
from flowtorch.ops.fast_general import compile_recorder
from flowtorch.ops.op import REGISTRY, Op, composite
from flowtorch.ops.order import in_order, in_rows
from flowtorch.ops.writing import check_number, number_tensor, writing
from flowtorch.tensor import Tensor, wrap

_active = overrides.active
_NUMBERS = (int, float, complex, np.generic)
_C_LABELS = {"uint8": "unsigned char", "int8": "signed char", "int16": "short int", "int32": "int", "int64": "long int",
             "uint16": "unsigned short", "uint32": "unsigned int", "uint64": "unsigned long", "float16": "c10::Half",
             "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double", "complex64": "c10::complex<float>",
             "complex128": "c10::complex<double>"}


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
            warnings.warn("where received a uint8 condition tensor. This behavior is deprecated and will be removed "
                          "in a "
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
        out = select(mask, a, b)
        return wrap(in_order(out if out.dtype == t.numpy else out.astype(t.numpy), mask, a, b), t)


def _where_body(condition, input, other):
    """``input`` where ``condition`` is true and ``other`` elsewhere, all three broadcast; dtypes are promoted.

    ``where(condition)`` alone gives the coordinates of the true elements, one index vector per dimension.

    >>> x = torch.tensor([-1.0, 2.0])
    >>> torch.where(x > 0, x, 0.0)
    tensor([0., 2.])
    >>> torch.where(x > 0)
    (tensor([1]),)
    """
    return select(condition, input, other)


_where = Op("where", Where(), _where_body, tensors=("condition", "input", "other"), linear=("input", "other"),
            method=False, expr="where(condition, input, other)",
            vjp=(None, lambda g, condition: where(condition, g, 0), lambda g, condition: where(condition, 0, g)))


def where(condition: Any, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """``input`` where ``condition`` holds, ``other`` elsewhere, with broadcasting; without them the indices of True."""
    if out is not None and not (isinstance(input, Tensor) and isinstance(other, Tensor)):
        raise TypeError("where() received an invalid combination of arguments: out= takes two tensors")
    if not _active and out is None:
        try:
            tx = input._type if type(input) is not float else other._type
            if condition._type.dtype is dtypes.bool_ and condition._type.plain and tx.fast and (
                    tx.dtype.rank >= 2):
                kind = type(other)
                a = input._array if type(input) is not float else tx.scalar(input)
                b = (other._array if other._type is tx else None) if kind is not float and kind is not int else (
                    tx.scalar(other))
                if b is not None and (type(input) is not float or kind is Tensor) and tx.compute is tx.numpy:
                    c = select(condition._array, a, b)
                    if c.ndim > 1:
                        c = in_order(c, condition._array, a, b)
                    t = wrap(c, tx)
                    if grad_enabled():
                        for x in (input, other):
                            if type(x) is Tensor and (x._requires_grad or x._view is not None):
                                if type(input) is kind is Tensor:
                                    (_where.recorder or compile_recorder(_where))(t, condition, input, other)
                                else:
                                    record(_where, [condition, input, other], t)
                                break
                    return t
        except Exception:
            pass  # the complete path does it again, and says what is wrong
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if input is None or other is None:
        raise TypeError("where() received an invalid combination of arguments - got "
                        f"({', '.join(type(x).__name__ for x in (condition, input, other) if x is not None)}), but "
                        "expected "
                        "one of: (Tensor condition), (Tensor condition, Tensor input, Tensor other, *, Tensor out = "
                        "None), "
                        "(Tensor condition, Number self, Tensor other), (Tensor condition, Tensor input, Number "
                        "other), "
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


# ---------------------------------------------------------------- masked_fill, masked_scatter, masked_select

def _fit_mask(input: np.ndarray, mask: np.ndarray, name: str) -> np.ndarray:
    """The mask broadcast to ``input``; errors in PyTorch's words."""
    if mask.dtype.kind != "b":
        labels = _C_LABELS if name == "masked_fill_" else None
        d = dtypes.from_numpy_dtype(mask.dtype)
        raise RuntimeError(f"{name} only supports boolean masks, but got mask with dtype "
                           f"{labels[d.name] if labels else d.label}")
    if mask.shape == input.shape:
        return mask
    text = broadcast_error([mask.shape, input.shape])
    if text is not None:
        raise RuntimeError(text)
    full = np.broadcast_shapes(input.shape, mask.shape)
    if full != input.shape:
        raise RuntimeError(f"output with shape {list(input.shape)} doesn't match the broadcast shape {list(full)}")
    return np.broadcast_to(mask, input.shape)


def _fill_value(values: list) -> list:
    input, mask, value = values
    if isinstance(value, Tensor):
        if value.dim():
            raise RuntimeError("masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
                               f"{value.dim()} dimension(s).")
        if value._type.device != input._type.device and value._type.device.type == "cpu":
            value = value.to(input._type.device)
    elif isinstance(value, _NUMBERS):
        value = number_tensor(value, input, True)
    else:
        raise TypeError("masked_fill() received an invalid combination of arguments - got "
                        f"({type(mask).__name__}, {type(value).__name__}), but expected one of: (Tensor mask, Tensor "
                        "value), "
                        "(Tensor mask, Number value)")
    return [input, mask, value]


@writing(("input", "mask", "value"), order="rows", name="_masked_fill", method=False, linear=("input", "value"),
         node="MaskedFillBackward0", prepare=_fill_value,
         vjp=(lambda g, mask: masked_fill(g, mask, 0), None, lambda g, mask: where(mask, g, 0).sum()))
def _masked_fill(input, mask, value):
    """``input`` with ``value`` where ``mask`` is True."""
    mask = _fit_mask(input, mask, "masked_fill_")
    if value.dtype.kind == "c" and input.dtype.kind != "c":
        check_number(value.item(), dtypes.from_numpy_dtype(input.dtype))
    select(mask, _as_dtype(value, input.dtype), input, input)


def _as_dtype(value: np.ndarray, d: np.dtype) -> np.ndarray:
    if value.dtype == d:
        return value
    return (value.real if value.dtype.kind == "c" and d.kind != "c" else value).astype(d)


@composite(method=True)
def masked_fill(input, mask, value):
    """A copy of ``input`` with ``value`` (a number or a 0-d tensor) where the bool ``mask`` is true; the two
    broadcast.

    >>> torch.zeros(2, 2).masked_fill(torch.tensor([True, False]), 5)
    tensor([[5., 0.],
            [5., 0.]])
    """
    kind = type(value)
    if not _active and (kind is float or kind is int):
        try:
            tx = input._type
            if tx.simple and tx.dtype.rank >= 2 and mask._type.dtype is dtypes.bool_ and mask._type.fast:
                number = tx.scalar(value)
                t = wrap(in_rows(select(mask._array, number, input._array)), tx)
                if (input._requires_grad or input._view is not None) and grad_enabled():
                    if mask._array.shape != input._array.shape:
                        input = input.expand(t.shape)
                    (_masked_fill.op.recorder or compile_recorder(_masked_fill.op))(t, input, mask, wrap(number, tx))
                return t
        except Exception:
            pass  # the complete path does it again, and says what is wrong
    if isinstance(mask, Tensor) and isinstance(input, Tensor) and mask.shape != input.shape and mask.dim() and (
            broadcast_error([tuple(mask.shape), tuple(input.shape)]) is None):
        shape = np.broadcast_shapes(tuple(input.shape), tuple(mask.shape))
        if shape != tuple(input.shape):
            input = input.expand(shape)
    return _masked_fill(input, mask, value)


@composite(namespace="Tensor", method=True)
def masked_fill_(self, mask, value):
    """Write the number or 0-d tensor ``value`` where ``mask`` is True."""
    if isinstance(self, Tensor) and overlap.has_internal_overlap(self._array) and self._type.fast and (
            isinstance(mask, Tensor) and mask.dtype is dtypes.bool_ and not (self.requires_grad and grad_enabled())):
        warnings.warn("Use of masked_fill_ on expanded tensors is deprecated. Please clone() the tensor before "
                      "performing this operation. This also applies to advanced indexing e.g. tensor[mask] = scalar",
                      stacklevel=2)
        filled = masked_fill(self.detach(), mask, value)
        np.copyto(self._array, filled._array, where=np.broadcast_to(mask._array, self._array.shape))
        self._bump_version()
        return self
    return _masked_fill.op.public_inplace(self, mask, value)


@writing(("input", "mask", "source"), order="rows", name="_masked_scatter", method=False, linear=("input", "source"),
         node="MaskedScatterBackward0",
         vjp=(lambda g, mask: masked_fill(g, mask, 0), None,
              lambda g, mask, source_shape: _masked_source(g, mask, source_shape)))
def _masked_scatter(input, mask, source):
    """``input`` with the elements of ``source``, in order, where ``mask`` is True."""
    if input.dtype != source.dtype:
        a, b = (dtypes.from_numpy_dtype(x.dtype).label for x in (input, source))
        raise RuntimeError(f"masked_scatter: expected self and source to have same dtypes but got{a} and {b}")
    mask = _fit_mask(input, mask, "masked_scatter_")
    count = int(np.count_nonzero(mask))
    if count > source.size:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    input[mask] = source.reshape(-1)[:count]


def _masked_source(g, mask, shape):
    # How many are taken, the examples of a batch must not know.
    if not (g._type.plain and mask._type.plain) or g.is_meta:
        chosen = mask.expand(g.shape).reshape(-1)
        zeros = g.new_zeros(math.prod(shape))
        place = (chosen.cumsum(0) - 1).clamp(0, max(zeros.numel() - 1, 0))
        return zeros.scatter_add(0, place, masked_fill(g.reshape(-1), ~chosen, 0)).reshape(shape)
    taken = masked_select(g, mask)
    n = 1
    for s in shape:
        n *= s
    return REGISTRY["constant_pad_nd"].public(taken, [0, n - taken.numel()]).reshape(shape)


@composite(method=True)
def masked_scatter(input, mask, source):
    """``input`` with the elements of ``source``, in order, where ``mask`` is True; ``input`` broadcasts with the
    mask."""
    if isinstance(mask, Tensor) and mask.shape != input.shape and (
            broadcast_error([tuple(mask.shape), tuple(input.shape)]) is None):
        shape = np.broadcast_shapes(tuple(input.shape), tuple(mask.shape))
        if shape != tuple(input.shape):
            input = input.expand(shape)
    return _masked_scatter(input, mask, source)


@composite(namespace="Tensor", method=True)
def masked_scatter_(self, mask, source):
    """Write the elements of ``source``, in order, where ``mask`` is True."""
    return _masked_scatter.op.public_inplace(self, mask, source)


@op(tensors=("input", "mask"), low="keep", linear=("input",),
    vjp=(lambda g, mask, input_shape: _select_backward(g, mask, input_shape), None))
def masked_select(input, mask):
    """The elements of ``input`` where ``mask`` is True, as a vector; both broadcast."""
    if mask.dtype.kind != "b":
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    if mask.shape != input.shape:
        text = broadcast_error([mask.shape, input.shape])
        if text is not None:
            raise RuntimeError(text)
        shape = np.broadcast_shapes(input.shape, mask.shape)
        input, mask = np.broadcast_to(input, shape), np.broadcast_to(mask, shape)
    return input[mask]


def _select_backward(g, mask, shape):
    full = np.broadcast_shapes(tuple(shape), tuple(mask.shape))
    return masked_scatter(g.new_zeros(full), mask, g)


# ---------------------------------------------------------------- nonzero

@op(name="_nonzero", tensors=("input",), low="keep")
def _nonzero(input):
    """The coordinates of the elements that are not zero, one row each."""
    found = np.array(input.nonzero() if input.ndim else (np.zeros(int(bool(input)), np.int64),)[:0], np.int64)
    if input.ndim == 0:
        found = np.zeros((0, int(bool(input))), np.int64)
    return found.T


@composite(method=True)
def nonzero(input, *, out=None, as_tuple=False):
    """The coordinates of the elements that are not zero: one row each, or with ``as_tuple`` one vector per
    dimension.

    >>> torch.nonzero(torch.tensor([[0, 7], [8, 0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    if as_tuple:
        if input.dim() == 0:
            input = input.unsqueeze(0)
        return tuple(_nonzero(input).unbind(1))
    return _nonzero(input) if out is None else _nonzero(input, out=out)


@composite(method=True)
def nonzero_static(input, *, size, fill_value=-1, out=None):
    """``nonzero`` with exactly ``size`` rows: cut off, or filled up with ``fill_value``."""
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    if input.is_meta:
        return input.new_full((size, input.dim()), fill_value, dtype=dtypes.int64)
    found = _nonzero(input)[:size].contiguous()
    rest = size - found.size(0)
    if rest:
        found = REGISTRY["cat"].public([found, found.new_full((rest, input.dim()), fill_value)])
    return found if out is None else dispatch.write_out(dispatch.OutRule("nonzero_static"), out, found)


@composite(method=True)
def argwhere(input):
    """The coordinates of the elements that are not zero, one row each."""
    return nonzero(input)
