"""What each op does with jagged operands: pointwise ops work on the values, others have a handler each."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowtorch.autograd.mode import grad_mode
from flowtorch.nested.padding import compact, from_padded
from flowtorch.nested.tensor import NestedTensor, build, values_of
from flowtorch.ops.dispatch import as_call, flat_inputs
from flowtorch.ops.families import Pointwise, normalize_dim
from flowtorch.tensor import Tensor

table: dict[str, Callable] = {}
ELEMENTWISE = {"where", "_masked_fill", "_to_copy", "clone", "poisson", "_bernoulli", "bernoulli_", "uniform_",
               "normal_"}


def handles(*names: str) -> Callable:
    """Decorator: the function handles the ops of these names."""
    def register(f: Callable) -> Callable:
        for name in names:
            table[name] = f
        return f
    return register


def run(op: Any, values: list, out: Any, inplace: bool) -> Any:
    """One call of ``op`` with a jagged operand."""
    from flowtorch.nested import ops  # noqa: F401

    inputs = flat_inputs(op, values)
    first = next((t for t in inputs if isinstance(t, NestedTensor)), None)
    if first is None or out is not None:
        raise NotImplementedError(f"{op.name}(): out= is not supported for nested tensors")
    handler = table.get(op.name)
    if handler is not None:
        result = handler(*values)
    elif isinstance(op.family, Pointwise) or op.name in ELEMENTWISE:
        result = pointwise(op, values, first)
    else:
        result = NotImplemented
    if result is NotImplemented:
        raise NotImplementedError(f"Could not run 'aten::{op.name.lstrip('_')}' with arguments from the "
                                  f"'NestedTensorCPU' backend: it is not defined for jagged tensors here. Use "
                                  f"to_padded_tensor(), unbind() or values().")
    return _store(op, values[op.tensor_index[0]], result) if inplace else result


def _store(op: Any, target: Any, result: Any) -> Any:
    """Put the result of an in-place call into its first argument."""
    if not isinstance(target, NestedTensor) or not isinstance(result, NestedTensor):
        raise RuntimeError(f"{op.name}_(): a nested tensor cannot be written into a tensor of another layout")
    if grad_mode.enabled and target.requires_grad and target._node is None:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    if result._ragged is not target._ragged or result._array.shape != target._array.shape:
        raise RuntimeError(f"output with shape {list(target.shape)} doesn't match the broadcast shape "
                           f"{list(result.shape)}")
    target._val.copy_(result._val)                                       # type: ignore[attr-defined]
    target._bump_version()
    if grad_mode.enabled and result._node is not None:
        target._node, target._requires_grad = result._node, True
    return target


# ---------------------------------------------------------------- pointwise

def pointwise(op: Any, values: list, first: NestedTensor) -> NestedTensor:
    """The op on the values; dense operands are spread over the pieces."""
    operands = list(values)
    for i in op.tensor_index:
        x = values[i]
        if isinstance(x, NestedTensor):
            if x._ragged is not first._ragged or x._at != first._at:
                raise _mismatch(op.name, first, x)
            operands[i] = values_of(x)
        elif isinstance(x, Tensor):
            operands[i] = spread(op.name, x, first)
    args, kwargs = as_call(op, operands, {})
    return build(op.public(*args, **kwargs), first._ragged, first._at, op.node_class.__name__)


def _mismatch(name: str, a: Any, b: Any) -> RuntimeError:
    return RuntimeError(f"cannot call binary pointwise function {name} with inputs of shapes {tuple(a.shape)} and "
                        f"{tuple(b.shape)}")


def spread(name: str, x: Any, like: NestedTensor) -> Any:
    """A dense operand as it broadcasts against the values of ``like``."""
    n, at = like._array.ndim, like._at
    if x.dim() == 0:
        return x
    if x.dim() > n:
        raise _mismatch(name, like, x)
    k = at - (n - x.dim())                       # the ragged dimension as x counts
    if k >= 0 and x.shape[k] != 1:
        if x.dim() == n and tuple(x.shape) == like._array.shape:
            values = values_of(from_padded(x, like._ragged, at))
            if like._ragged.lengths is None:
                return values
        raise _mismatch(name, like, x)
    if x.dim() < n:
        return x
    if x.shape[0] == 1:
        return x.squeeze(0)
    if x.shape[0] != like._array.shape[0] or like._ragged.lengths is not None:
        raise _mismatch(name, like, x)
    return x.squeeze(at).index_select(0, like._ragged.owners).movedim(0, at - 1)


# ---------------------------------------------------------------- helpers of the handlers

def on_values(t: NestedTensor, f: Callable, at: int | None = None, label: str = "NestedViewFromJaggedBackward0") -> Any:
    """``f`` of the values, where it leaves the ragged dimension alone."""
    return build(f(values_of(t)), t._ragged, t._at if at is None else at, label)


def filled(t: NestedTensor) -> NestedTensor:
    """``t`` without holes between its pieces."""
    if t._ragged.lengths is None:
        return t
    return from_padded(t.to_padded_tensor(0), compact(t._ragged), t._at)


def inner(t: NestedTensor, dim: int, name: str) -> int:
    """A dimension as the values count it; the batch is refused."""
    d = normalize_dim(dim, t._array.ndim)
    if d == 0:
        raise RuntimeError(f"{name}(): not supported for NestedTensor on dim=0")
    return d - 1


def getitem(t: NestedTensor, index: Any) -> Any:
    """``t[index]``: an integer in front gives a piece; the batch and the ragged dimension cannot be cut."""
    items = list(index) if isinstance(index, tuple) else [index]
    if ... in [i for i in items if i is ...]:
        k = next(i for i, x in enumerate(items) if x is ...)
        items[k:k + 1] = [slice(None)] * (t.dim() - sum(i is not None for i in items) + 1)
        whole_batch = k == 0
    else:
        whole_batch = False
    if items and isinstance(items[0], int) and not isinstance(items[0], bool):
        piece = pieces(t)[items[0]] if -len(t) <= items[0] < len(t) else None
        if piece is None:
            raise IndexError(f"index {items[0]} is out of bounds for dimension 0 with size {len(t)}")
        return piece[tuple(items[1:])] if items[1:] else piece          # type: ignore[index]
    if not items or not whole_batch:
        raise RuntimeError("slice(): not supported for NestedTensor on dim=0")
    if any(isinstance(i, Tensor) for i in items) or items[t._at] != slice(None):
        raise RuntimeError("slice(): not supported for NestedTensor on ragged dim")
    values, at = values_of(t)[tuple(items[1:])], t._at                   # type: ignore[index]
    at -= sum(isinstance(i, int) for i in items[1:t._at])
    return build(values, t._ragged, at)


def pieces(t: NestedTensor) -> tuple:
    """The tensors of the batch, views of the values."""
    values, d = values_of(t), t._at - 1
    return tuple(values.narrow(d, int(a), int(n)) for a, n in zip(t._ragged.starts, t._ragged.sizes, strict=True))  # type: ignore[attr-defined]
