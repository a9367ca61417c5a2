"""Nested tensors of the strided layout: a batch of tensors that may differ in every dimension, op by op per piece."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flowtorch import devices, dtypes
from flowtorch.array.tensortype import tensor_type
from flowtorch.autograd.mode import grad_mode
from flowtorch.autograd.node import edge
from flowtorch.ops.dispatch import as_call, flat_inputs
from flowtorch.ops.families import Pointwise, normalize_dim
from flowtorch.ops.op import REGISTRY
from flowtorch.sparse.record import link
from flowtorch.sparse.tensor import LayoutTensor, hollow
from flowtorch.tensor import Tensor, shared_counter

_new: Any = object.__new__
PER_PIECE = {"where", "_masked_fill", "_to_copy", "clone", "_bernoulli", "bernoulli_", "uniform_", "normal_"}
# Ops whose parameters name dimensions; the pieces have one dimension less.
DIMENSIONS = {"_softmax": ("dim",), "_log_softmax": ("dim",), "transpose": ("dim0", "dim1"), "unsqueeze": ("dim",),
              "select": ("dim",), "split_with_sizes": ("dim",), "sum": ("dim",), "slice": ("dim",)}


class StridedNestedTensor(LayoutTensor):
    """A batch of tensors of one rank and dtype, kept apart."""

    __slots__ = ("_parts",)

    backend = "NestedTensor"
    is_nested = True
    layout = property(lambda self: dtypes.strided)                       # type: ignore[assignment]

    _parts: tuple

    def __flowtorch_interpret__(self, op: Any, values: list, out: Any, inplace: bool = False) -> Any:
        return run(op, values, out, inplace)

    def __flowtorch_detach__(self) -> Any:
        t = make(self._parts, self._type.dtype)
        t._counter = shared_counter(self)
        return t

    def __flowtorch_like__(self, maker: Any, args: tuple, options: dict) -> Any:
        requires_grad = options.pop("requires_grad", False)
        result = make([maker(p, *args, **options) for p in self._parts], options.get("dtype") or self.dtype)
        if requires_grad:
            result.requires_grad = True
        return result

    def __flowtorch_drawn__(self, draw: Any) -> Any:
        return make([draw(p) for p in self._parts], self.dtype)

    @property
    def shape(self) -> Any:
        raise RuntimeError("a nested tensor of the strided layout has no one size; use size(dim) or unbind()")

    def size(self, dim: int | None = None) -> Any:
        if dim is None:
            return self.shape
        d = normalize_dim(dim, self._array.ndim)
        if d == 0:
            return len(self._parts)
        found = {p._array.shape[d - 1] for p in self._parts}
        if len(found) != 1:
            raise RuntimeError(f"Given dimension {d} is irregular and does not have a size.")
        return found.pop()

    def __len__(self) -> int:
        return self.shape

    __iter__ = __len__                                                   # type: ignore[assignment]

    def stride(self, dim: int | None = None) -> Any:
        raise RuntimeError("a nested tensor of the strided layout has no one stride; use unbind()")

    def numel(self) -> int:
        return sum(p._array.size for p in self._parts)

    nelement = numel

    def is_contiguous(self, memory_format: Any = None) -> bool:
        return all(p.is_contiguous() for p in self._parts)

    def item(self) -> Any:
        if self.numel() != 1:
            raise RuntimeError(f"a Tensor with {self.numel()} elements cannot be converted to Scalar")
        return next(p for p in self._parts if p.numel()).item()

    def numpy(self, *, force: bool = False) -> Any:
        raise RuntimeError("a nested tensor has no numpy array; use unbind() or to_padded_tensor()")

    def values(self) -> Tensor:
        """All elements of all pieces, in order."""
        return REGISTRY["cat"].public([p.reshape(-1) for p in pieces(self)])

    def _nested_tensor_size(self) -> Tensor:
        from flowtorch.ops import factory

        return factory.tensor([list(p.shape) for p in self._parts])

    def is_same_size(self, other: Any) -> bool:
        """Whether the pieces have the same sizes."""
        return isinstance(other, StridedNestedTensor) and [p._array.shape for p in self._parts] == [
            p._array.shape for p in other._parts]

    def to_padded_tensor(self, padding: Any, output_size: Any = None) -> Tensor:
        """A dense tensor of the largest sizes (or ``output_size``) with ``padding`` after smaller pieces."""
        size = tuple(output_size) if output_size is not None else self._array.shape
        if len(size) != self._array.ndim or any(a < b for a, b in zip(size, self._array.shape, strict=True)):
            raise RuntimeError("Value in output_size is less than NestedTensor padded size. Truncation is not "
                               "supported.")
        full = []
        for p in pieces(self):
            extra: list[int] = []
            for have, want in zip(reversed(p.shape), reversed(size[1:]), strict=True):
                extra += [0, want - have]
            full.append(REGISTRY["constant_pad_nd"].public(p, extra, padding))
        return REGISTRY["stack"].public(full)

    def fill_(self, value: Any) -> Any:
        for p in self._parts:
            p.fill_(value)
        self._bump_version()
        return self

    def zero_(self) -> Any:
        return self.fill_(0)

    def __getitem__(self, index: Any) -> Any:
        items = index if isinstance(index, tuple) else (index,)
        if not items or not isinstance(items[0], int) or isinstance(items[0], bool):
            raise RuntimeError("a nested tensor of the strided layout is indexed by an integer first")
        n = len(self._parts)
        if not -n <= items[0] < n:
            raise IndexError(f"index {items[0]} is out of bounds for dimension 0 with size {n}")
        piece = pieces(self)[items[0]]
        return piece[tuple(items[1:])] if items[1:] else piece

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild, (list(self._parts), self.dtype, self.requires_grad)

    def __deepcopy__(self, memo: dict) -> Any:
        if self._node is not None:
            raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
                               "protocol at the moment.")
        return memo.setdefault(id(self), _rebuild([p.clone() for p in self._parts], self.dtype, self.requires_grad))

    def type(self, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
        if dtype is None:
            return f"torch.{self.dtype.label}Tensor"
        return Tensor.type(self, dtype, *args, **kwargs)                 # type: ignore[attr-defined]

    def __repr__(self, *, tensor_contents: Any = None) -> str:           # type: ignore[override]
        shown = [repr(p.detach().requires_grad_(self.requires_grad)).replace("\n", "\n  ") for p in self._parts]
        suffix = ", requires_grad=True" if self.requires_grad and self._node is None else ""
        if self._node is not None:
            suffix = f", grad_fn=<{self._node.name()}>"
        return "nested_tensor([\n" + ",\n".join("  " + s for s in shown) + f"\n]{suffix})"


def make(parts: Sequence[Any], dtype: Any) -> StridedNestedTensor:
    """A nested tensor of these pieces, without history."""
    t = _new(StridedNestedTensor)
    rank = parts[0]._array.ndim if parts else 0
    longest = tuple(max(p._array.shape[d] for p in parts) for d in range(rank))
    t._array = hollow((len(parts), *longest), dtype)
    t._type = tensor_type(dtype, parts[0]._type.device if parts else devices.cpu, False, grad_mode.inference)
    t._requires_grad, t._node, t._grad, t._view, t._counter = False, None, None, None, 0
    t._parts = tuple(p.detach() if p.requires_grad else p for p in parts)
    return t


def _rebuild(parts: list, dtype: Any, requires_grad: bool) -> StridedNestedTensor:
    t = make(parts, dtype)
    if requires_grad:
        t.requires_grad = True
    return t


def build(parts: Sequence[Any], label: str, dtype: Any = None) -> StridedNestedTensor:
    """A nested tensor through which gradients reach its pieces."""
    t = make(parts, dtype or parts[0].dtype)
    return link(t, label, list(parts), [(lambda g, k=k: pieces(g)[k]) for k in range(len(parts))])


def pieces(t: Any) -> list:
    """The pieces (not copied), through which gradients reach the batch."""
    if edge(t) is None:
        return list(t._parts)
    parts = t._parts

    def alone(k: int) -> Callable:
        return lambda g: build([g if j == k else p.new_zeros(p.shape) for j, p in enumerate(parts)], "UnbindBackward0")
    return [link(p.detach(), "NestedSelectBackward0", [t], [alone(k)]) for k, p in enumerate(parts)]


# ---------------------------------------------------------------- ops

def run(op: Any, values: list, out: Any, inplace: bool) -> Any:
    """One call of ``op`` with a nested operand: the op on each piece."""
    nested = [t for t in flat_inputs(op, values) if isinstance(t, StridedNestedTensor)]
    result: Any = NotImplemented
    if out is None and nested:
        if op.name == "unbind" and normalize_dim(values[1], nested[0]._array.ndim) == 0:
            return tuple(pieces(nested[0]))
        if op.name == "cat" and len(nested) == len(values[0]) and values[1] == 0:
            result = build([p for t in nested for p in pieces(t)], "CatBackward0")
        elif op.name in ("view", "reshape"):
            size = list(values[1]) if isinstance(values[1], (tuple, list)) else [values[1]]
            if size[0] != len(nested[0]._parts):
                raise RuntimeError(f"{op.name}: the batch of {len(nested[0]._parts)} pieces cannot change, but got "
                                   f"{size}")
            result = _each(op, [values[0], tuple(size[1:])])
        elif op.name == "copy":
            result = _each(REGISTRY["clone"], [values[1], dtypes.preserve_format])
        elif isinstance(op.family, Pointwise) or op.name in PER_PIECE:
            _check_alike(op, values)
            result = _each(op, values)
        elif op.name in DIMENSIONS:
            result = _along(op, values)
        elif op.name in ("linear", "matmul"):
            result = _each(op, values)
    if result is NotImplemented:
        raise NotImplementedError(f"Could not run 'aten::{op.name.lstrip('_')}' with arguments from the "
                                  "'NestedTensorCPU' backend: it is not defined for nested tensors of the strided "
                                  "layout here. Use unbind() or to_padded_tensor().")
    return _store(op, values[0], result) if inplace else result


def _check_alike(op: Any, values: list) -> None:
    operands = [values[i] for i in op.tensor_index if isinstance(values[i], Tensor)]
    nested = [t for t in operands if isinstance(t, StridedNestedTensor)]
    if any(not isinstance(t, StridedNestedTensor) and t._array.ndim for t in operands):
        raise RuntimeError("Expected both self and other to be nested, but got a nested self and non-nested other")
    if any(not nested[0].is_same_size(t) for t in nested[1:]):
        raise RuntimeError(f"{op.name} does not support broadcasting when given a NestedTensor")


def _each(op: Any, values: list) -> Any:
    """The op on the pieces, taken together where several operands are nested."""
    spread = [pieces(v) if isinstance(v, StridedNestedTensor) else v for v in values]
    count = next(len(s) for s, v in zip(spread, values, strict=True) if isinstance(v, StridedNestedTensor))
    results = []
    for k in range(count):
        chosen = [s[k] if isinstance(v, StridedNestedTensor) else s for s, v in zip(spread, values, strict=True)]
        args, kwargs = as_call(op, chosen, {})
        results.append(op.public(*args, **kwargs))
    if results and isinstance(results[0], (tuple, list)):
        return tuple(build(column, op.node_class.__name__) for column in zip(*results, strict=True))
    return build(results, op.node_class.__name__)


def _along(op: Any, values: list) -> Any:
    """An op along dimensions that are not the batch."""
    n = values[0]._array.ndim
    moved = list(values)
    for name in DIMENSIONS[op.name]:
        i = op.names.index(name)
        dims = values[i] if isinstance(values[i], (tuple, list)) else [values[i]]
        if any(d is None for d in dims) or not dims:
            return NotImplemented
        counted = [normalize_dim(d, n + 1 if op.name == "unsqueeze" else n) for d in dims]
        if 0 in counted:
            raise RuntimeError(f"{op.name.lstrip('_')}: the batch dimension of a nested tensor is not supported")
        moved[i] = [d - 1 for d in counted] if isinstance(values[i], (tuple, list)) else counted[0] - 1
    if op.name == "sum" and not values[op.names.index("keepdim")]:
        raise RuntimeError("NestedTensor always requires keepdim=True for now.")
    return _each(op, moved)


def _store(op: Any, target: Any, result: Any) -> Any:
    if not isinstance(target, StridedNestedTensor) or not target.is_same_size(result):
        raise RuntimeError(f"{op.name}_(): the result does not have the sizes of the tensor it is written into")
    if grad_mode.enabled and target.requires_grad and target._node is None:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    for p, r in zip(target._parts, result._parts, strict=True):
        p.copy_(r)
    target._bump_version()
    if grad_mode.enabled and result._node is not None:
        target._node, target._requires_grad = result._node, True
    return target

