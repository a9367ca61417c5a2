"""Views taken in place (t_, squeeze_, ...), resize_, and the copying twins of the view ops."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.autograd.mode import grad_enabled
from flowtorch.dtypes import channels_last, channels_last_3d, contiguous_format, preserve_format
from flowtorch.dtypes import dtype as DType
from flowtorch.ops.copy import clone
from flowtorch.ops.dispatch import check_inplace, write_out
from flowtorch.ops.op import REGISTRY, composite
from flowtorch.ops.rearrange import int_list
from flowtorch.ops.view import at_address, contiguous_strides, memory_end
from flowtorch.tensor import address_of, owner_of


def become(x: Any, out: Any) -> Any:
    """Make ``x`` what its view ``out`` is: shape, place in memory and history."""
    check_inplace(x, grad_enabled() and x.requires_grad, writes=False)
    for part in ("value", "tangent"):                              # what a transform's tensor wraps
        if part in out.__dict__ and part in x.__dict__:
            x.__dict__[part] = out.__dict__[part]
    x._array = out._array
    if x._view is not None:
        x._view = out._view
    if grad_enabled():
        x._node, x._requires_grad = out._node, out._requires_grad
    x._bump_version()
    return x


def _in_place(name: str, doc: str, *, of: str | None = None) -> Any:
    op_name = of or name

    def call(self, *args, **kwargs):
        return become(self, REGISTRY[op_name].public(self, *args, **kwargs))
    call.__name__ = call.__qualname__ = name + "_"
    call.__doc__ = doc
    return composite(call, namespace="Tensor", method=True)


squeeze_ = _in_place("squeeze", "Drop dimensions of size 1, in place.")
unsqueeze_ = _in_place("unsqueeze", "Insert a dimension of size 1, in place.")
transpose_ = _in_place("transpose", "Swap two dimensions, in place.")
t_ = _in_place("t", "Swap the dimensions of a matrix, in place.")


@composite(namespace="Tensor", method=True)
def as_strided_(self, size, stride, storage_offset=None):
    """Take other sizes, strides and offset in the same storage, in place."""
    out = REGISTRY["as_strided"].public(self, size, stride, storage_offset)
    node = out._node
    if isinstance(getattr(node, "saved", None), tuple) and node.saved[0] is self:     # it is about to be another
        before = self.detach()
        before._counter = 0
        node.saved, node.versions = (before, *node.saved[1:]), (0, *node.versions[1:])
    return become(self, out)



@composite(namespace="Tensor", method=True)
def swapaxes_(self, axis0, axis1):
    """Swap two dimensions, in place."""
    return transpose_(self, axis0, axis1)


@composite(namespace="Tensor", method=True)
def swapdims_(self, dim0, dim1):
    """Swap two dimensions, in place."""
    return transpose_(self, dim0, dim1)


# ---------------------------------------------------------------- resize_

@composite(namespace="Tensor", method=True)
def resize_(self, *sizes, size=None, memory_format=contiguous_format):
    """Change the shape in place: the same memory where it is enough, else a larger one that starts with the old."""
    if hasattr(self, "__flowtorch_interpret__"):
        raise RuntimeError("resize_ is not supported inside a function transform")
    shape = int_list(sizes if size is None else (size,), None, "resize_", "size")
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    if any(n < 0 for n in shape):
        raise RuntimeError("numel: integer multiplication overflow")
    if memory_format is preserve_format:
        raise RuntimeError("Unsupported memory formatPreserve")
    if shape != tuple(self.shape):
        self._array = _resized(self._array, shape)
    if memory_format in (channels_last, channels_last_3d):
        rank = 4 if memory_format is channels_last else 5
        if len(shape) != rank:
            raise RuntimeError(f"required rank {rank} tensor to use {memory_format.name} format")
        order = (0, *range(2, rank), 1)
        dense = _resized(self._array, tuple(shape[d] for d in order))
        self._array = dense.transpose(tuple(np.argsort(order)))
    self._bump_version()
    return self


def _resized(array: np.ndarray, shape: tuple) -> np.ndarray:
    owner = owner_of(array)
    strides = contiguous_strides(shape, array.itemsize)
    start, n = address_of(array), 1
    for s in shape:
        n *= s
    if owner.size and n * array.itemsize <= memory_end(owner) - start:
        return at_address(owner, start, shape, strides, array.dtype)
    new = np.zeros(n, array.dtype)
    if owner.size and array.size:
        have = (memory_end(owner) - start) // array.itemsize
        new[:have] = at_address(owner, start, (have,), (array.itemsize,), array.dtype)
    return new.reshape(shape)


@composite(namespace="Tensor", method=True)
def resize_as_(self, the_template, *, memory_format=contiguous_format):
    """Change the shape to that of ``the_template``, in place."""
    return resize_(self, tuple(the_template.shape), memory_format=memory_format)


def _resize_as(input: Any, the_template: Any, **options: Any) -> Any:
    """Change the shape to that of ``the_template``, in place."""
    return resize_as_(input, the_template, **options)


composite(_resize_as, name="resize_as_")


# ---------------------------------------------------------------- copies of views

def _copying(name: str) -> Any:
    record = REGISTRY[name]

    if name in ("unbind", "split_with_sizes"):
        def call(*args, out=None, **kwargs):
            copies = tuple([clone(t, memory_format=contiguous_format) for t in record.public(*args, **kwargs)])
            if out is None:
                return copies
            write_out(call.record, tuple(out), copies)
            return None
    else:
        def call(*args, **kwargs):
            return clone(record.public(*args, **kwargs), memory_format=contiguous_format)
    call.__name__ = call.__qualname__ = f"{name}_copy"
    call.__doc__ = f"A copy of what ``{name}`` views."
    return composite(call, out=name not in ("unbind", "split_with_sizes"))


for _name in (
    "t",
    "transpose",
    "expand",
    "permute",
    "squeeze",
    "unsqueeze",
    "select",
    "slice",
    "unbind",
    "diagonal",
    "alias",
    "as_strided",
    "unfold",
    "split_with_sizes",
    "view_as_real",
    "view_as_complex",
):
    _copying(_name)


@composite(out=True)
def view_copy(input, size=None, dtype=None):
    """A copy of what ``view`` shows, of any tensor: in another shape, or as elements of another dtype."""
    if isinstance(size, DType):
        size, dtype = None, size
    shown = input.reshape(size) if dtype is None else input.view(dtype)
    return clone(shown, memory_format=contiguous_format)


@composite
def split_copy(input, split_size, dim=0, *, out=None):
    """Copies of the pieces that ``split`` views."""
    pieces = tuple([clone(t, memory_format=contiguous_format) for t in input.split(split_size, dim)])
    if out is None:
        return pieces
    for o, piece in zip(out, pieces, strict=True):
        o.copy_(piece)                                       # which does not resize
    return None


@composite(out=True)
def detach_copy(input):
    """A copy without history."""
    return clone(input.detach(), memory_format=contiguous_format)


