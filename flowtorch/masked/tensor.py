"""MaskedTensor: data with a mask of which elements count."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowtorch import dtypes
from flowtorch.array.tensortype import tensor_type
from flowtorch.autograd.mode import grad_mode
from flowtorch.autograd.node import edge
from flowtorch.ops.dispatch import as_call, flat_inputs
from flowtorch.ops.families import Pointwise, Views
from flowtorch.ops.op import REGISTRY
from flowtorch.sparse.record import link
from flowtorch.sparse.tensor import LayoutTensor, hollow
from flowtorch.tensor import Tensor, shared_counter

_new: Any = object.__new__


class MaskedTensor(LayoutTensor):
    """``data`` whose elements count where ``mask`` is True."""

    __slots__ = ("_data", "_mask")

    backend = "MaskedTensor"
    layout = property(lambda self: self._data.layout)                    # type: ignore[assignment]
    is_sparse = property(lambda self: self._data.is_sparse)              # type: ignore[assignment]

    _data: Tensor
    _mask: Tensor

    def __new__(cls, data: Any, mask: Any, requires_grad: bool = False) -> Any:
        return masked_tensor(data, mask, requires_grad)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return MaskedTensor

    def __flowtorch_interpret__(self, op: Any, values: list, out: Any, inplace: bool = False) -> Any:
        return run(op, values, out, inplace)

    def __flowtorch_detach__(self) -> Any:
        t = make(self._data, self._mask)
        t._counter = shared_counter(self)
        return t

    def __flowtorch_like__(self, maker: Any, args: tuple, options: dict) -> Any:
        requires_grad = options.pop("requires_grad", False)
        result = make(maker(self._data, *args, **options), self._mask)
        if requires_grad:
            result.requires_grad = True
        return result

    def __flowtorch_new__(self, maker: Any, shape: tuple, options: dict) -> Any:
        result = maker(self._data, *shape, **options)
        return make(result, self._mask) if result.shape == self.shape else result

    def __flowtorch_drawn__(self, draw: Any) -> Any:
        return make(draw(self._data), self._mask)

    def get_data(self) -> Tensor:
        """The data, hidden elements included; gradients flow through where the mask is True."""
        return data_of(self)

    def get_mask(self) -> Tensor:
        """The mask."""
        return self._mask

    def to_tensor(self, value: Any) -> Tensor:
        """A plain tensor with ``value`` where the mask hides elements."""
        return data_of(self).masked_fill(~self._mask, value)             # type: ignore[attr-defined,operator]

    def is_contiguous(self, memory_format: Any = dtypes.contiguous_format) -> bool:
        return self._data.is_contiguous(memory_format)

    def stride(self, dim: int | None = None) -> Any:
        return self._data.stride(dim)

    def numpy(self, *, force: bool = False) -> Any:
        raise RuntimeError(".numpy() is not supported for tensor subclasses.")

    def tolist(self) -> Any:
        raise RuntimeError(".tolist() is not supported for tensor subclasses, got MaskedTensor")

    def to_dense(self) -> Any:
        return build(data_of(self).to_dense(), self._mask.to_dense())    # type: ignore[attr-defined]

    def type(self, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
        return self._data.type() if dtype is None else Tensor.type(self, dtype, *args, **kwargs)   # type: ignore[attr-defined]

    def fill_(self, value: Any) -> Any:
        self._data.fill_(value)                                          # type: ignore[attr-defined]
        return self

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, MaskedTensor):
            index = index._data & index._mask                            # type: ignore[operator]
        return build(data_of(self)[index], self._mask[index])            # type: ignore[index]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return masked_tensor, (self._data, self._mask, self.requires_grad)

    def __repr__(self, *, tensor_contents: Any = None) -> str:           # type: ignore[override]
        if self.dim() == 0:
            shown = _word(self._data) if bool(self._mask) else "--"
            return f"MaskedTensor({shown}, {bool(self._mask)})"
        return f"MaskedTensor(\n{_rows(self._data, self._mask, 1)}\n)"


def _word(x: Any) -> str:
    if x.is_floating_point() or x.is_complex():
        return f"{x.item():8.4f}"
    return str(x.item())


def _rows(data: Any, mask: Any, depth: int) -> str:
    """The elements in nested brackets, ``--`` for hidden ones."""
    indent = "  " * depth
    if data.dim() == 1:
        words = [_word(x) if bool(m) else "      --" for x, m in zip(data, mask, strict=True)]
        return indent + "[" + ", ".join(words) + "]"
    inner = ",\n".join(_rows(x, m, depth + 1) for x, m in zip(data, mask, strict=True))
    return f"{indent}[\n{inner}\n{indent}]"


def make(data: Tensor, mask: Tensor) -> MaskedTensor:
    """A masked tensor of these parts, without history."""
    t = _new(MaskedTensor)
    source = data._type
    t._array = hollow(data._array.shape, source.dtype)
    t._type = tensor_type(source.dtype, source.device, False, grad_mode.inference)
    t._requires_grad, t._node, t._grad, t._view, t._counter = False, None, None, None, 0
    t._data = data.detach() if data.requires_grad else data              # type: ignore[attr-defined]
    t._mask = mask
    return t


def build(data: Tensor, mask: Tensor, label: str = "MaskedTensorBackward0") -> MaskedTensor:
    """A masked tensor through which gradients reach ``data`` where the mask is True."""
    if data.shape != mask.shape:
        raise ValueError("data.size() must equal mask.size()")
    return link(make(data, mask), label, [data], [_shown])


def _shown(g: Any) -> Any:
    """A gradient as a plain tensor, 0 where it is hidden."""
    return g.to_tensor(0) if isinstance(g, MaskedTensor) else g


def data_of(t: MaskedTensor) -> Tensor:
    """The data of ``t`` (not copied), through which gradients reach it."""
    data = t._data.detach()                                              # type: ignore[attr-defined]
    if edge(t) is None:
        return data
    mask = t._mask
    return link(data, "GetDataBackward0", [t], [lambda g: build(g, mask)])


def _check(data: Any, mask: Any) -> None:
    if not isinstance(data, Tensor) or isinstance(data, MaskedTensor):
        raise TypeError("data must be a Tensor")
    if not isinstance(mask, Tensor) or isinstance(mask, MaskedTensor):
        raise TypeError("mask must be a Tensor")
    if data.layout is not mask.layout:
        raise TypeError(f"data and mask must have the same layout, but got {data.layout} and {mask.layout}")
    if data.layout is not dtypes.strided:
        raise TypeError(f"data layout of {data.layout} is not supported.")
    if mask.dtype is not dtypes.bool_:
        raise TypeError("mask must have dtype bool.")
    if data.shape != mask.shape:
        raise ValueError("data.size() must equal mask.size()")


def masked_tensor(data: Any, mask: Any, requires_grad: bool = False) -> MaskedTensor:
    """A new leaf over copies of ``data`` and ``mask``."""
    _check(data, mask)
    t = make(data.detach().clone(), mask.detach().clone())
    if requires_grad:
        t.requires_grad = True
    return t


def as_masked_tensor(data: Any, mask: Any) -> MaskedTensor:
    """``data`` with a mask, without copying; gradients reach ``data``."""
    _check(data, mask)
    return build(data, mask)


def is_masked_tensor(obj: Any, /) -> bool:
    """Whether an object is a MaskedTensor."""
    return isinstance(obj, MaskedTensor)


# ---------------------------------------------------------------- ops

REDUCTIONS = {"sum": "sum", "mean": "mean", "amax": "amax", "amin": "amin", "argmax": "argmax", "argmin": "argmin",
              "_var": "var", "_std": "std", "_prod_all": "prod"}
ALIKE = {"clone", "_to_copy", "where", "view", "reshape", "expand", "transpose", "t", "permute", "unsqueeze", "squeeze",
         "select", "slice", "cat", "stack", "flip", "roll", "index_select", "gather"}


def run(op: Any, values: list, out: Any, inplace: bool) -> Any:
    """One call of ``op`` with a masked operand."""
    result: Any = NotImplemented
    if out is None:
        if op.name in REDUCTIONS:
            result = _reduce(REDUCTIONS[op.name], op, values)
        elif op.name == "all":
            t = values[0]
            result = _reduced(t, values[1], values[2], t._data.logical_or(~t._mask).all)   # type: ignore[operator]
        elif op.name in ("_softmax", "copy"):
            result = _softmax(*values) if op.name == "_softmax" else _copy(*values)
        elif isinstance(op.family, (Pointwise, Views)) or op.name in ALIKE:
            result = _elementwise(op, values)
    if result is NotImplemented:
        raise TypeError(f"no implementation of '{op.name.lstrip('_')}' for MaskedTensor: it is not defined which "
                        "elements of the result would count")
    if not inplace:
        return result
    target = values[0]
    if not isinstance(target, MaskedTensor):
        raise TypeError(f"{op.name}_(): a MaskedTensor cannot be written into a plain tensor")
    if grad_mode.enabled and target.requires_grad and target._node is None:
        raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
    target._data.copy_(result._data)                                     # type: ignore[attr-defined]
    target._bump_version()
    if grad_mode.enabled and result._node is not None:
        target._node, target._requires_grad = result._node, True
    return target


def _elementwise(op: Any, values: list) -> Any:
    """The op on the data, and on the mask if it moves elements; masks of several operands must be the same."""
    masked = [t for t in flat_inputs(op, values) if isinstance(t, MaskedTensor)]
    moves = not isinstance(op.family, Pointwise) and op.name not in ("clone", "_to_copy", "where")
    if op.name == "where":
        return _where(op, values)
    first = masked[0]._mask
    if not moves:
        for t in masked[1:]:
            if t._mask.shape != first.shape or not (t._mask._array == first._array).all():
                raise ValueError(f"Input masks must match: {op.name} of masked tensors with different masks has no "
                                 "meaning")
    result = _call(op, values, data_of)
    if not moves:
        return build(result, first, op.node_class.__name__)
    mask = _call(op, values, lambda t: t._mask)
    if isinstance(result, tuple):
        return tuple(build(r, m) for r, m in zip(result, mask, strict=True))
    return build(result, mask, op.node_class.__name__)


def _call(op: Any, values: list, part: Callable) -> Any:
    """The op with one part of each masked operand in its place."""
    chosen = list(values)
    for i in op.tensor_index:
        v = values[i]
        if isinstance(v, MaskedTensor):
            chosen[i] = part(v)
        elif isinstance(v, (list, tuple)):
            chosen[i] = [part(t) if isinstance(t, MaskedTensor) else t for t in v]
    args, kwargs = as_call(op, chosen, {})
    return op.public(*args, **kwargs)


def _where(op: Any, values: list) -> Any:
    condition, a, b = values
    if not isinstance(a, MaskedTensor) or not isinstance(b, MaskedTensor):
        raise TypeError("where(): both values must be MaskedTensors if one of them is")
    mask = op.public(condition, a._mask, b._mask)
    return build(op.public(condition, data_of(a), data_of(b)), mask, "WhereBackward0")


def _reduced(t: MaskedTensor, dim: Any, keepdim: bool, f: Callable) -> MaskedTensor:
    """``f(dim, keepdim)`` with the mask of the results that some element counts for."""
    if dim is None or dim == ():
        result, mask = f(), t._mask.any()
        if keepdim:
            shape = (1,) * t.dim()
            result, mask = result.reshape(shape), mask.reshape(shape)    # type: ignore[attr-defined]
        return build(result, mask)
    return build(f(dim, keepdim), REGISTRY["any"].public(t._mask, dim, keepdim))


def _reduce(name: str, op: Any, values: list) -> Any:
    from flowtorch.masked import functions

    bound = dict(zip(op.names, values, strict=True))
    t, dim, keepdim = bound.pop("input"), bound.pop("dim", None), bool(bound.pop("keepdim", False))
    options = {k: v for k, v in bound.items() if v is not None}
    f = getattr(functions, name)
    data, mask = data_of(t), t._mask
    if name in ("argmax", "argmin"):
        options.pop("dtype", None)

    def reduced(dim: Any = None, keepdim: bool = False) -> Any:
        return f(data, dim, keepdim=keepdim, mask=mask, **options)
    return _reduced(t, dim, keepdim, reduced)


def _softmax(t: MaskedTensor, dim: int) -> Any:
    from flowtorch.masked import functions

    return build(functions.softmax(data_of(t), dim, mask=t._mask).masked_fill(~t._mask, 0), t._mask)   # type: ignore[operator]


def _copy(target: Any, source: Any, non_blocking: bool = False) -> Any:
    if not isinstance(target, MaskedTensor) or not isinstance(source, MaskedTensor):
        raise TypeError("copy_(): a MaskedTensor can only be copied into a MaskedTensor")
    if not (target._mask._array == source._mask._array).all():
        raise ValueError("args[0].mask and args[1].mask must match but do not")
    return build(data_of(source).to(target.dtype), target._mask)         # type: ignore[attr-defined]
