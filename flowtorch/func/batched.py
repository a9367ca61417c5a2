"""Tensors of a vmap level: one tensor that stands for a batch of them, and the way an op takes over them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch.array.place import host_strided
from flowtorch.autograd.levels import Level, Wrapped, levels, make_wrapper
from flowtorch.ops.dispatch import as_call, check_stored, flat_inputs
from flowtorch.ops.families import return_type
from flowtorch.ops.op import Op
from flowtorch.tensor import Tensor

_DATA = (
    "vmap: It looks like you're calling .item() on a Tensor. We don't support vmap over calling .item() on a Tensor: "
    "in the batch it has many values. Use operations on tensors instead, or call it outside of vmap"
)
_FLOW = (
    "vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow, which would "
    "take another way for each example: use torch.where, or loop over the batch"
)
_POINTER = "Cannot access data pointer of Tensor that doesn't have storage"
_IN_PLACE = (
    "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor `other` in "
    "extra_args "
    "that has more elements than `self`. This happened due to `other` being vmapped over but `self` not "
    "being "
    "vmapped over in a vmap. Please try to use out-of-place operators instead of inplace arithmetic. If said "
    "operator is being called inside the PyTorch framework, please file a bug report instead."
)


class Shell(np.ndarray):
    """The shape, strides and dtype of one example of a batch. Reading elements of it is a bug, so it is an error."""

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(_POINTER)

    __array_function__ = __array_ufunc__
    item = tolist = astype = copy = tobytes = __bool__ = __float__ = __int__ = __array_ufunc__


class Batched(Wrapped):
    """A batch that looks like one of its examples: dimension 0 of ``value`` is the batch."""

    __slots__ = ()

    def __flowtorch_interpret__(self, op: Op, values: list, out: Any, inplace: bool = False) -> Any:
        return apply(self.level, op, values, out, inplace)

    def __flowtorch_detach__(self) -> Tensor:
        return batch(self.value.detach(), self.level, self.depth)  # type: ignore[attr-defined]

    def __flowtorch_like__(self, make: Any, args: tuple, options: dict) -> Tensor:
        from flowtorch.dtypes import contiguous_format, preserve_format

        if options.get("memory_format", preserve_format) is not preserve_format:
            options["memory_format"] = contiguous_format
        return batch(make(self.value, *args, **options), self.level, self.depth)

    def __flowtorch_new__(self, make: Any, shape: tuple, options: dict) -> Tensor:
        shape = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        return batch(make(self.value, self.value.shape[0], *shape, **options), self.level, self.depth)

    def __flowtorch_saved__(self) -> Any:
        return SavedBatch(self)

    def __flowtorch_function__(self, cls: Any, args: tuple, kwargs: dict) -> Any:
        from flowtorch.func.custom import batch_function

        return batch_function(self.level, cls, args, kwargs)

    @property
    def requires_grad(self) -> bool:
        return self.value.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.value.requires_grad = value

    @property
    def is_leaf(self) -> bool:
        return self.value.is_leaf

    def item(self) -> Any:
        raise RuntimeError(_DATA)

    def _scalar(self, kind: str) -> Any:
        raise RuntimeError(_FLOW if kind == "bool" else _DATA)

    def __index__(self) -> int:
        raise RuntimeError(_DATA)

    def tolist(self) -> Any:
        raise RuntimeError(_POINTER)

    def numpy(self, *, force: bool = False) -> Any:
        raise RuntimeError(_POINTER)

    def data_ptr(self) -> int:
        raise RuntimeError(_POINTER)

    def untyped_storage(self) -> Any:
        raise NotImplementedError("Cannot access storage of BatchedTensorImpl")

    storage = _typed_storage = untyped_storage

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        inner = "\n".join("    " + line for line in repr(self.value).splitlines())
        return f"BatchedTensor(lvl={self.depth}, bdim=0, value=\n{inner}\n)"


class SavedBatch:
    """A batch kept by a node, as ``SavedWrapper``."""

    __slots__ = ("depth", "level", "value")

    def __init__(self, t: Any) -> None:
        self.value, self.level, self.depth = t.value, t.level, t.depth

    @property
    def shape(self) -> tuple:
        return self.value._array.shape[1:]

    def get(self) -> Any:
        return batch(self.value, self.level, self.depth)


def batch(value: Tensor, level: Level | int, depth: int = 0) -> Batched:
    """``value``, whose first dimension is the batch, as one tensor of the level."""
    a = value._array
    shown = (
        host_strided(a.view(np.ndarray), a.shape[1:], a.strides[1:])
        if a.shape[0]
        else (np.empty(a.shape[1:], a.dtype))
    )
    return make_wrapper(Batched, value, level, shown.view(Shell), depth)


def is_batched(t: Any, level: int) -> bool:
    return type(t) is Batched and t.level == level


class Call:
    """One op over a batch: the arguments one level down, and which of them have the batch dimension (in front).

    ``values``   the arguments by position, batches unwrapped
    ``flags``    for each: True if it has the batch dimension; a list of such for a list of tensors
    ``size``     the size of the batch; ``level`` the number of its level
    ``logical``  the arguments as the caller sees them
    """

    def __init__(self, level: int, op: Op, values: list) -> None:
        self.op, self.logical, self.level = op, values, level
        self.values: list = list(values)
        self.flags: list = [False] * len(values)
        for i in op.tensor_index:
            v = values[i]
            if isinstance(v, (list, tuple)):
                self.values[i] = [t.value if is_batched(t, level) else t for t in v]
                self.flags[i] = [is_batched(t, level) for t in v]
            elif is_batched(v, level):
                self.values[i], self.flags[i] = v.value, True
        first = next(t for t in flat_inputs(op, values) if is_batched(t, level))
        self.size, self.depth = first.value.shape[0], first.depth

    def any(self, i: int) -> bool:
        f = self.flags[i]
        return any(f) if isinstance(f, list) else f

    def rank(self, i: int) -> int:
        """The number of dimensions of argument ``i`` that the caller sees."""
        return self.logical[i].dim()

    def run(self, values: list | None = None, op: Op | None = None) -> Any:
        """The op (or another of the same signature) on these arguments one level down."""
        values = self.values if values is None else values
        op = self.op if op is None else op
        args, kwargs = as_call(op, values, {})
        return op.public(*args, **kwargs)

    def full(self, i: int) -> Any:
        """Argument ``i`` with the batch dimension, expanded if it has none."""
        v = self.values[i]
        return v if self.flags[i] or not isinstance(v, Tensor) else v.expand(self.size, *v.shape)  # type: ignore[attr-defined]


Rule = Callable[[Call], Any]
rules: dict[str, Rule] = {}  # by the op's name
family_rules: dict[type, Rule] = {}
looped: set[str] = set()  # ops that ran example by example for want of a rule


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Decorator: the batching rule of these ops. It returns results whose first dimension is the batch."""

    def define(f: Rule) -> Rule:
        for n in names:
            rules[n] = f
        return f

    return define


def find_rule(op: Op) -> Rule | None:
    found = op.batch or rules.get(op.name)
    if found is None:
        found = next((family_rules[c] for c in type(op.family).__mro__ if c in family_rules), None)
    return found


def apply(level: int, op: Op, values: list, out: Any, inplace: bool) -> Any:
    """Run ``op`` on batches of this level."""
    if level not in levels.open:
        raise RuntimeError("Either your tensor may have escaped from inside a function being vmapped and this is a "
                           "user error (let the function return it), or there is an internal error.")
    if out is not None:
        raise RuntimeError(
            f"Batching rule not implemented for aten::{op.name}.out; the fallback path doesn't work on out= "
            f"or "
            "view ops."
        )
    call = Call(level, op, values)
    target = values[op.tensor_index[0]]
    if inplace and not is_batched(target, level):
        raise RuntimeError(_IN_PLACE)
    if inplace and op.family.name == "random":
        from flowtorch.func.randomness import fill_batch

        fill_batch(call, level)
        return target
    if inplace and op.savers and op.savers[0] and target.value.requires_grad:
        first = op.tensor_index[0]
        call.values[first] = call.values[first].clone()  # the derivative needs it as it was
    found = find_rule(op)
    result = loop(call) if found is None else found(call)
    depth = call.depth
    if inplace:
        if target._type.dtype is not result.dtype or target.dim() != result.dim() - 1:
            check_stored(target, batch(result, level))
        target.value.copy_(result)
        return target
    if isinstance(result, Tensor):
        return batch(result, level, depth)
    wrapped = [batch(r, level, depth) for r in result]
    return return_type(op)(wrapped) if op.outputs else tuple(wrapped)


def loop(call: Call) -> Any:
    """Any op, example by example, with a warning: it is as slow as the loop that vmap should have replaced."""
    op = call.op
    if op.name not in looped:
        looped.add(op.name)
    warnings.warn(
        f"There is a performance drop because we have not yet implemented the batching rule for "
        f"aten::{op.name}. "
        "Please file us an issue on GitHub so that we can prioritize its implementation.",
        stacklevel=6,
    )
    results = [call.run(_example(call, b)) for b in range(call.size)]
    if not results:
        raise RuntimeError(f"vmap: the fallback for aten::{op.name} does not work on a batch of size 0")
    stack = _stack()
    if isinstance(results[0], Tensor):
        return stack(results, 0)
    return tuple(stack(list(r), 0) for r in zip(*results, strict=True))


def _stack() -> Any:
    from flowtorch.ops.op import REGISTRY

    return REGISTRY["stack"].public


def _example(call: Call, b: int) -> list:
    """The arguments of example ``b``."""
    values = list(call.values)
    for i, f in enumerate(call.flags):
        if isinstance(f, list):
            values[i] = [t.select(0, b) if has else t for t, has in zip(values[i], f, strict=True)]
        elif f:
            values[i] = values[i].select(0, b)
    return values
