"""What an op does with quantised operands: it moves their integers, or works on the values and quantises again."""

from __future__ import annotations

from typing import Any

from flowtorch import dtypes
from flowtorch.ops.dispatch import as_call, flat_inputs
from flowtorch.ops.families import Views
from flowtorch.quantized.functions import quantized_numbers
from flowtorch.quantized.tensor import QuantizedTensor, Quantizer, _unsupported, make
from flowtorch.tensor import Tensor

# Ops that only move elements, beside the views.
MOVES = frozenset(("clone", "cat", "stack", "flip", "roll", "repeat", "index_select", "gather", "take"))
# Ops whose results lie on the grid of their operand, or are brought there.
BY_VALUE = frozenset((
    "relu", "clamp", "mean", "amax", "amin", "_max_dim", "_min_dim", "sort", "topk", "leaky_relu",
    "_max_pool", "_avg_pool", "_adaptive_avg_pool", "_window_max",
))  # fmt: skip
# Questions, whose answers are no quantised tensors.
ASKS = frozenset(("eq", "ne", "lt", "le", "gt", "ge", "argmax", "argmin", "isnan"))
_BY_CHANNEL = frozenset(("clone", "view", "reshape", "alias"))


def run(op: Any, values: list, out: Any, inplace: bool) -> Any:
    """One call of ``op`` with a quantised operand."""
    operands = [t for t in flat_inputs(op, values) if isinstance(t, QuantizedTensor)]
    if not operands or out is not None or inplace:
        raise _unsupported(op.name.lstrip("_") + ("_" if inplace else ".out"))
    first = operands[0]
    if op.name == "_to_copy":
        raise RuntimeError("Creation of quantized tensor requires quantized dtype like torch.quint8: use dequantize()")
    if op.name in ASKS:
        return _call(op, values, lambda t: t.dequantize())
    if first._quantizer.axis is not None:
        return _by_channel(op, values, first)
    if op.name in MOVES or isinstance(op.family, Views):
        if op.name in ("_view_dtype", "real", "imag", "view_as_real", "view_as_complex"):
            raise _unsupported(op.name.lstrip("_"))
        numbers = _call(op, values, lambda t: _numbers_like(t, first))
        return _each(numbers, lambda t: make(t, first._quantizer, first.dtype))
    if op.name in BY_VALUE:
        return _each(_call(op, values, lambda t: t.dequantize()), lambda t: _quantized_again(t, first))
    raise _unsupported(op.name.lstrip("_"))


def selected(t: QuantizedTensor, index: Any) -> Any:
    """``t[index]``; of a tensor quantised by channel, one channel."""
    q = t._quantizer
    if q.axis is None:
        return make(t._numbers[index], q, t.dtype)
    if q.axis != 0 or not isinstance(index, int):
        raise RuntimeError("Setting strides is possible only on uniformly quantized tensor")
    single = Quantizer(q.scale[index].item(), q.zero_point[index].item())
    return make(t._numbers[index], single, t.dtype)


def _by_channel(op: Any, values: list, t: QuantizedTensor) -> Any:
    q = t._quantizer
    if op.name == "select" and values[1] == q.axis == 0:
        return selected(t, values[2])
    if op.name not in _BY_CHANNEL:
        if isinstance(op.family, Views):
            raise RuntimeError("Setting strides is possible only on uniformly quantized tensor")
        if op.name not in BY_VALUE and op.name not in MOVES:
            raise _unsupported(op.name.lstrip("_"))
        raise RuntimeError(
            "Expected quantizer->qscheme() == kPerTensorAffine to be true, but got false: "
            f"{op.name.lstrip('_')} of a tensor quantised per channel; call dequantize() first"
        )
    numbers = _call(op, values, lambda t: t._numbers)
    if numbers.dim() <= q.axis or numbers.shape[q.axis] != q.scale.numel():  # type: ignore[operator]
        channels = numbers.shape[q.axis] if numbers.dim() > q.axis else 0  # type: ignore[index,operator]
        raise RuntimeError(f"length of scales must equal to channel, expected {channels} got, {q.scale.numel()}")
    return make(numbers, q, t.dtype)


def _call(op: Any, values: list, part: Any) -> Any:
    """The op with a plain tensor in the place of each quantised operand."""

    def exchanged(v: Any) -> Any:
        if isinstance(v, (list, tuple)):
            return [exchanged(x) for x in v]
        return part(v) if isinstance(v, QuantizedTensor) else v

    args, kwargs = as_call(op, [exchanged(v) for v in values], {})
    return op.public(*args, **kwargs)


def _numbers_like(t: QuantizedTensor, first: QuantizedTensor) -> Tensor:
    """The integers of ``t`` as ``first`` would read them."""
    same = t._quantizer is first._quantizer or t._quantizer == first._quantizer
    if same and t.dtype is first.dtype:
        return t._numbers
    return quantized_numbers(t.dequantize(), first._quantizer, first.dtype)  # type: ignore[attr-defined]


def _quantized_again(result: Tensor, like: QuantizedTensor) -> Any:
    if result.dtype is not dtypes.float32:
        return result  # indices
    return make(quantized_numbers(result, like._quantizer, like.dtype), like._quantizer, like.dtype)


def _each(result: Any, f: Any) -> Any:
    """``f`` of a tensor, or of each of several."""
    if isinstance(result, Tensor):
        return f(result)
    return type(result)([f(t) for t in result])
