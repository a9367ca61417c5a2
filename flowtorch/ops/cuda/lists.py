"""Functions of lists of tensors on the device: one launch for all tensors of a dtype."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from flowtorch import dtypes, overrides
from flowtorch.array import cuda
from flowtorch.autograd.mode import grad_mode
from flowtorch.codegen import expression, multi_tensor
from flowtorch.codegen.dtypes import compute_type
from flowtorch.codegen.lowering import lower
from flowtorch.codegen.multi_tensor import MultiTensorKernel, alike
from flowtorch.ops.op import REGISTRY
from flowtorch.tensor import Tensor, wrap

_TEXTS = {
    "div": "input / other", "clamp_max": "minimum(input, other)", "clamp_min": "maximum(input, other)",
}  # fmt: skip
"""Expressions of functions that are no primitives."""
_FLOATS = ("float16", "bfloat16", "float32", "float64")


def apply(name: str, columns: Mapping[str, Sequence[Tensor]], values: Mapping[str, Any], inplace: bool) -> list | None:
    """The function `name` of each row of `columns`, or None where it has to be called tensor by tensor.

    values: the other arguments: numbers, tensors of one element, or a list with a number for each row.
    """
    lists = {key: list(column) for key, column in columns.items()}
    first = next(iter(lists.values()))
    values = {key: _read(value, first) for key, value in values.items()}
    if not _takes(lists, values):
        return None
    results = first if inplace else [_like(t) for t in first]
    groups: dict[tuple, list[int]] = {}
    for i, tensor in enumerate(first):
        own = tuple([value[i] if isinstance(value, list) else value for value in values.values()])
        groups.setdefault((tensor._type, tuple([id(v) if isinstance(v, Tensor) else v for v in own])), []).append(i)
    for (kind, _), rows in groups.items():
        own = {key: value[rows[0]] if isinstance(value, list) else value for key, value in values.items()}
        single = {key: value for key, value in own.items() if isinstance(value, Tensor)}
        numbers = {key: value for key, value in own.items() if key not in single}
        others = tuple([(key, value._type.numpy.name) for key, value in single.items()])
        kernel = _kernel(name, kind.numpy.name, tuple(lists), others, tuple(numbers))
        arrays = [[column[i]._array for i in rows] for column in lists.values()]
        arrays += [[value._array] * len(rows) for value in single.values()]
        kernel([*arrays, [results[i]._array for i in rows]], [float(number) for number in numbers.values()])
    if inplace:
        for tensor in first:
            tensor._bump_version()
    return results


def _read(value: Any, like: list[Tensor]) -> Any:
    """Numbers in the host's memory as numbers; a list of equal ones as one."""
    if isinstance(value, (list, tuple)):
        numbers = list(value)
        return numbers[0] if numbers and all(number == numbers[0] for number in numbers) else numbers
    if isinstance(value, Tensor) and value._type.plain and value._type.device.type == "cpu" and value.dim() == 0:
        return value.item() if not value._requires_grad else value
    return value


def _takes(lists: dict[str, list[Tensor]], values: dict[str, Any]) -> bool:
    """Whether all rows are plain floating tensors of a device that lie in memory alike, and nobody else listens."""
    if overrides.active:
        return False
    first = next(iter(lists.values()))
    tensors = [t for column in lists.values() for t in column]
    singles = [value for value in values.values() if isinstance(value, Tensor)]
    if not all(isinstance(t, Tensor) and t._type.plain and t._type.device.type == "cuda" for t in tensors + singles):
        return False
    if grad_mode.enabled and any(t._requires_grad for t in tensors + singles):
        return False
    if any(t._type.numpy is None or t._type.numpy.name not in _FLOATS for t in tensors + singles):
        return False
    device = first[0]._type.device
    for value in singles:
        if value._type.device != device or value._array.size != 1 or value._array.ndim:
            return False
        if any(t._array.ndim == 0 and t._type is not value._type for t in first):
            return False
    for value in values.values():
        found = value if isinstance(value, list) else [] if isinstance(value, Tensor) else [value]
        if not all(type(number) in (int, float, bool) for number in found):
            return False
    return all(
        all(t._type is row[0]._type and t._type.device == device for t in row) and alike([t._array for t in row])
        for row in zip(*lists.values(), strict=True)
    )


def _like(tensor: Tensor) -> Tensor:
    array = tensor._array
    return wrap(cuda.empty(array.shape, array.dtype, cuda.element_strides(array)), tensor._type)


@functools.cache
def _kernel(
    name: str, dtype: str, columns: tuple[str, ...], singles: tuple[tuple[str, str], ...], numbers: tuple[str, ...]
) -> MultiTensorKernel:
    tensors = (*columns, *(key for key, _ in singles))
    op = REGISTRY.get(name)
    text = _TEXTS[name] if op is None else str(op.expr)
    defaults = {} if op is None else {k: v for k, v in op.defaults.items() if k not in (*tensors, *numbers)}
    tree = expression.parse(text, tensors, (*numbers, *defaults))
    tree = tree.substitute({key: expression.constant(value) for key, value in defaults.items() if value is not None})
    kind = compute_type(dtype)
    program = lower([tree], dict.fromkeys(columns, dtype) | dict.fromkeys([key for key, _ in singles], dtype),
                    dict.fromkeys(numbers, kind), [dtype], dtypes.get_default_dtype().name)  # fmt: skip
    if any(given != dtype for _, given in singles):
        program = _with_inputs(tree, columns, dict(singles), numbers, dtype)
    return MultiTensorKernel(program, name, [False] * len(columns) + [True] * len(singles))


def _with_inputs(tree: Any, columns: tuple, singles: dict[str, str], numbers: tuple, dtype: str) -> Any:
    """The program where an operand of one element has a dtype of its own, which does not promote."""
    narrow = {key: expression.cast(expression.input(key), compute_type(dtype)) for key in singles}
    return lower([tree.substitute(narrow)], dict.fromkeys(columns, dtype) | singles,
                 dict.fromkeys(numbers, compute_type(dtype)), [dtype], dtypes.get_default_dtype().name)  # fmt: skip


def norms(tensors: Sequence[Tensor], order: Any) -> list[Tensor] | None:
    """The norms of tensors by two launches, or None where they have to be computed one by one."""
    order = {2: 2, 1: 1, math.inf: 0}.get(order, -1)
    first = tensors[0]
    if order < 0 or not _takes({"input": list(tensors)}, {}) or any(t._type is not first._type for t in tensors):
        return None
    found = multi_tensor.norms([t._array for t in tensors], order)
    return [wrap(found[i : i + 1].reshape(()), first._type) for i in range(len(tensors))]
