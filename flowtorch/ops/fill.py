"""Filling a tensor with one value, in place."""
from __future__ import annotations

from typing import Any

from flowtorch.autograd.mode import grad_enabled
from flowtorch.ops import dispatch
from flowtorch.ops.copy import _copy
from flowtorch.ops.factory import full
from flowtorch.ops.op import composite
from flowtorch.tensor import Tensor

# A fill is recorded as the copy that it is; only its node bears PyTorch's name for it.
_by_number, _by_tensor, _of_number, _of_tensor, _zero = (
    type(name, (_copy.node_class,), {"__slots__": (), "__module__": "flowtorch.autograd"})
    for name in ("FillBackward2", "FillBackward3", "FillBackward0", "FillBackward1", "ZeroBackward0"))


def _named(filled: Tensor, node_class: Any) -> Tensor:
    if type(filled._node) is _copy.node_class or type(filled._node) in (_by_number, _by_tensor):
        filled._node.__class__ = node_class
    return filled


@composite(namespace="Tensor", method=True)
def fill_(self, value):
    """Set every element to ``value``, a number or a 0-d tensor, and return this tensor.

    >>> torch.empty(2).fill_(3)
    tensor([3., 3.])
    """
    if isinstance(value, Tensor):
        if value.dim():
            raise RuntimeError("fill_ only supports 0-dimension value tensor but got tensor with "
                               f"{value.dim()} dimensions.")
        return _named(self.copy_(value), _by_tensor)
    if value.__class__ is str:
        raise TypeError("fill_() received an invalid combination of arguments - got (str)")
    t = self._type
    if t.fast and t.device.type == "cpu" and not dispatch.active and not (self.requires_grad and grad_enabled()):
        self._array.fill(t.scalar(value).astype(t.numpy))
        self._bump_version()
        return self
    return _named(self.copy_(full((), value, dtype=self.dtype, device=self.device)), _by_number)


@composite(namespace="Tensor", method=True)
def zero_(self):
    """Set every element to 0."""
    return _named(fill_(self, 0), _zero)


@composite
def fill(input, value):
    """A tensor shaped like ``input`` with every element ``value``."""
    return _named(input.clone().fill_(value), _of_tensor if isinstance(value, Tensor) else _of_number)


@composite(name="zero_")
def zero_function_(input):
    """Set every element of ``input`` to 0."""
    return input.zero_()


@composite(name="fill_")
def fill_function_(input, value):
    """Set every element of ``input`` to ``value``."""
    return input.fill_(value)
