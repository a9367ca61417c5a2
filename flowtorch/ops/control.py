"""Control flow as functions, and answers about the build: names of PyTorch that have little to do here."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.array.tensortype import tensor_type
from flowtorch.ops.arguments import need_int
from flowtorch.ops.op import composite
from flowtorch.ops.pointwise import need_tensors
from flowtorch.tensor import Tensor, wrap


@composite
def cond(pred: Any, true_fn: Callable, false_fn: Callable, operands: Any = ()) -> Any:
    """``true_fn(*operands)`` if ``pred`` (a bool or a tensor of one element) holds, else ``false_fn(*operands)``."""
    if not isinstance(pred, (bool, int, float, Tensor)):
        raise RuntimeError(f"Expected pred to be bool or tensor, but got {pred}.")
    if isinstance(pred, Tensor) and pred.numel() != 1:
        raise RuntimeError(f"Expected pred to be bool or single-element tensor, but got {pred}.")
    if not callable(true_fn) or not callable(false_fn):
        raise RuntimeError("Expect both branches to be callable.")
    if not isinstance(operands, (tuple, list)):
        raise RuntimeError(f"Expect operands to be a tuple of possibly nested dict/list/tuple, but got {operands}.")
    return (true_fn if bool(pred) else false_fn)(*operands)


@composite
def while_loop(cond_fn: Callable, body_fn: Callable, carried_inputs: Any) -> Any:
    """``body_fn`` applied to ``carried_inputs`` again and again, as long as ``cond_fn`` of them holds."""
    if not callable(cond_fn) or not callable(body_fn):
        raise RuntimeError("Expect cond_fn and body_fn to be callable.")
    if not isinstance(carried_inputs, (tuple, list)):
        raise RuntimeError(f"Expect carried_inputs to be a tuple or a list, but got {carried_inputs}.")
    carried = tuple(carried_inputs)
    while bool(cond_fn(*carried)):
        result = body_fn(*carried)
        carried = tuple(result) if isinstance(result, (tuple, list)) else (result,)
        if len(carried) != len(carried_inputs):
            raise RuntimeError(f"body_fn should return the same number of elements as carried_inputs, "
                               f"{len(carried_inputs)}, but returned {len(carried)}")
    return carried


@composite
def get_device(input):
    """The index of the tensor's device; -1 for host memory."""
    need_tensors("get_device", input=input)
    return input.get_device()


@composite(method=True)
def slice_inverse(input, src, dim=0, start=None, end=None, step=1):
    """``input`` as a view laid over ``src`` where the slice of ``src`` it is would lie."""
    return input.as_strided(tuple(src.shape), src.stride(), src.storage_offset())


@composite
def from_file(filename, shared=None, size=0, *, dtype=None, layout=None, device=None, pin_memory=False,
              requires_grad=False):
    """A tensor over a file's bytes mapped into memory: its own copy of them, or ``shared`` and written through."""
    d = dtypes.get_default_dtype() if dtype is None else dtype
    size = need_int("from_file", "size", 3, size)
    if shared:
        with open(filename, "ab") as file:                   # PyTorch makes it as large as it has to be
            file.truncate(max(file.tell(), size * d.itemsize))
    array = np.memmap(filename, d.numpy, "r+" if shared else "c", shape=(size,)) if size else np.empty(0, d.numpy)
    t = wrap(array.view(np.ndarray), tensor_type(d))
    return t.requires_grad_(requires_grad)


# ---------------------------------------------------------------- methods

@composite(namespace="Tensor", method=True)
def apply_(self, callable):
    """Replace every element by what ``callable`` gives for it (a Python call each: slow)."""
    if self.requires_grad:
        raise RuntimeError("Can't call apply_() on Variable that requires grad. Use var.detach().apply_() instead.")
    if not self.is_cpu:
        raise TypeError("apply_ is only implemented on CPU tensors")
    flat = self._array.reshape(-1)
    values = np.array([callable(x) for x in flat.tolist()]) if flat.size else flat
    np.copyto(self._array, values.reshape(self._array.shape), casting="unsafe")
    self._bump_version()
    return self


@composite(namespace="Tensor", method=True)
def map_(self, tensor, callable):
    """Replace every element by what ``callable`` gives for it and the element of ``tensor`` beside it."""
    return _map_into("map_", self, (tensor,), callable)


@composite(namespace="Tensor", method=True)
def map2_(self, x, y, callable):
    """Replace every element by what ``callable`` gives for it and the elements of ``x`` and ``y`` beside it."""
    return _map_into("map2_", self, (x, y), callable)


def _map_into(name: str, self: Any, others: tuple, callable: Callable) -> Any:
    if any(t.requires_grad for t in (self, *others)):
        raise RuntimeError(f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() instead.")
    for tensor, argument in zip(others, ("x", "y") if name == "map2_" else ("other",), strict=True):
        if tensor.dtype is not self.dtype:
            raise TypeError(f"{name}: expected {self.type()} for '{argument}' (got {tensor.type()})")
    arrays = [self._array, *(np.broadcast_to(t._array, self._array.shape) for t in others)]
    rows = zip(*(a.reshape(-1).tolist() for a in arrays), strict=True)
    values = np.array([callable(*row) for row in rows]) if self._array.size else self._array
    np.copyto(self._array, values.reshape(self._array.shape), casting="unsafe")
    self._bump_version()
    return self


@composite(namespace="Tensor", method=True)
def dim_order(self, ambiguity_check=False):
    """The dimensions from the outermost in memory to the innermost."""
    strides = self.stride()
    rest = iter(sorted((d for d in range(self.dim()) if strides[d]), key=lambda d: -strides[d]))
    order = [next(rest) if strides[d] else d for d in range(self.dim())]      # expanded ones stay where they are
    if ambiguity_check is True:
        seen = [strides[d] for d in order if self.shape[d] != 1]
        if len(set(seen)) != len(seen) or 1 in self.shape or 0 in self.shape:
            raise RuntimeError(f"The tensor does not have unique dim order, or cannot map to exact one of the given "
                               f"memory formats: strides {strides}")
    return tuple(order)


@composite(namespace="Tensor", method=True)
def new_empty_strided(self, size, stride, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    """An uninitialised tensor of the given size and strides, of this tensor's dtype and device unless named."""
    from flowtorch.ops.ranges import empty_strided

    return empty_strided(size, stride, dtype=self.dtype if dtype is None else dtype,
                         device=self.device if device is None else device, requires_grad=requires_grad)


@composite(namespace="Tensor", method=True)
def const_data_ptr(self):
    """The address of the first element, for reading."""
    return self.data_ptr()


@composite(namespace="Tensor", method=True)
def record_stream(self, stream):
    """Keep the memory from reuse until ``stream`` is done with it: nothing to do in host memory."""
    if self.is_cpu:
        raise NotImplementedError("Could not run 'aten::record_stream' with arguments from the 'CPU' backend.")
