"""What each op does when an operand is sparse: a table from the op's name to a function of its arguments.

An op without an entry is an error that names it. A handler takes the arguments in the order of the op's parameters,
records its own history, and may return NotImplemented.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowtorch import dtypes
from flowtorch.autograd.mode import grad_mode
from flowtorch.dtypes import can_cast
from flowtorch.ops.dispatch import flat_inputs
from flowtorch.sparse import on_device
from flowtorch.sparse.tensor import LayoutTensor
from flowtorch.tensor import Tensor

table: dict[str, Callable] = {}                         # for COO operands
compressed_table: dict[str, Callable] = {}              # where an operand is of a compressed layout
_loaded = False
MOVING = ("_to_copy", "clone", "copy")
"""Ops that a device needs no host for: they move or copy all entries."""


def handles(*names: str) -> Callable:
    """Decorator: the function handles the ops of these names."""
    def register(f: Callable) -> Callable:
        for name in names:
            table[name] = f
        return f
    return register


def load() -> None:
    """Fill the table."""
    global _loaded
    from flowtorch.sparse import arithmetic, compressed_ops, elementwise, products, reductions, shapes  # noqa: F401

    _loaded = True


def unsupported(name: str, tensors: Any) -> NotImplementedError:
    """The error for an op that has no meaning here for sparse operands."""
    backend = next((t.backend for t in tensors if isinstance(t, LayoutTensor)), "")
    name = name.lstrip("_")
    return NotImplementedError(
        f"Could not run 'aten::{name}' with arguments from the '{backend}CPU' backend: '{name}' is not defined for "
        f"tensors of this layout. Convert the operand with to_dense(), or work on its values().")


def run(op: Any, values: list, out: Any, inplace: bool) -> Any:
    """One call of ``op`` with a sparse operand (or a sparse ``out``)."""
    if not _loaded:
        load()
    inputs = flat_inputs(op, values)
    from flowtorch.sparse.compressed import CompressedTensor

    chosen = compressed_table if any(type(t) is CompressedTensor for t in inputs) else table
    handler = chosen.get(op.name)
    if not any(isinstance(t, LayoutTensor) for t in inputs):            # only out= is sparse
        raise unsupported(f"{op.name}.out", [out])
    if handler is None:
        raise unsupported(op.name, inputs)
    target = values[op.tensor_index[0]]
    if inplace:
        _check_written(target, inputs)
    result = handler(*values) if op.name in MOVING else on_device.run(handler, values, {}, op.name)
    if result is NotImplemented:
        raise unsupported(op.name, inputs)
    if inplace:
        return _store(op, target, result)
    if out is not None:
        return _write(op, out, result)
    return result


def _check_written(target: Any, inputs: list) -> None:
    recording = grad_mode.enabled and any(isinstance(t, Tensor) and t.requires_grad for t in inputs)
    if recording and target._requires_grad and target._node is None:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")


def _store(op: Any, target: Any, result: Any) -> Any:
    """Put the result of an in-place call into its first argument."""
    if result is target:
        return target
    if not can_cast(result.dtype, target.dtype):
        raise RuntimeError(f"result type {result.dtype.label} can't be cast to the desired output type "
                           f"{target.dtype.label}")
    if not isinstance(target, LayoutTensor):
        return target.copy_(result.to_dense() if isinstance(result, LayoutTensor) else result)
    if type(result) is not type(target):
        raise unsupported(op.name + "_", [target])
    if result.shape != target.shape:
        raise RuntimeError(f"output with shape {list(target.shape)} doesn't match the broadcast shape "
                           f"{list(result.shape)}")
    if result.dtype is not target.dtype:
        result = result.to(target.dtype)
    target._take(result)
    if grad_mode.enabled and result._node is not None:
        target._node, target._requires_grad = result._node, True
    return target


def _write(op: Any, out: Any, result: Any) -> Any:
    if isinstance(out, LayoutTensor):
        if type(out) is not type(result):
            raise unsupported(f"{op.name}.out", [out])
        out._take(result.to(out.dtype))
        return out
    from flowtorch.ops.dispatch import write_out

    if isinstance(result, LayoutTensor):
        result = result.to_dense()                                       # type: ignore[attr-defined]
    return write_out(op, out, result)


def is_number(x: Any) -> bool:
    """Whether an operand is a Python number or a dense tensor without dimensions."""
    return not isinstance(x, Tensor) or (x._array.ndim == 0 and not isinstance(x, LayoutTensor))


def strided(x: Any) -> bool:
    return isinstance(x, Tensor) and x.layout is dtypes.strided
