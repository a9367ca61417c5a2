"""Filling a tensor with one value, in place."""
from __future__ import annotations

from flowtorch.autograd.mode import grad_enabled
from flowtorch.ops import dispatch
from flowtorch.ops.factory import full
from flowtorch.ops.op import composite
from flowtorch.tensor import Tensor


@composite(namespace="Tensor", method=True)
def fill_(self, value):
    """Set every element to ``value``, a number or a 0-d tensor."""
    if isinstance(value, Tensor):
        if value.dim():
            raise RuntimeError("fill_ only supports 0-dimension value tensor but got tensor with "
                               f"{value.dim()} dimensions.")
        return self.copy_(value)
    if value.__class__ is str:
        raise TypeError("fill_() received an invalid combination of arguments - got (str)")
    t = self._type
    if t.fast and t.device.type == "cpu" and not dispatch.active and not (self.requires_grad and grad_enabled()):
        self._array.fill(t.scalar(value).astype(t.numpy))
        self._bump_version()
        return self
    return self.copy_(full((), value, dtype=self.dtype, device=self.device))


@composite(namespace="Tensor", method=True)
def zero_(self):
    """Set every element to 0."""
    return fill_(self, 0)


@composite
def fill(input, value):
    """A tensor shaped like ``input`` with every element ``value``."""
    return input.clone().fill_(value)


@composite(name="zero_")
def zero_function_(input):
    """Set every element of ``input`` to 0."""
    return input.zero_()


@composite(name="fill_")
def fill_function_(input, value):
    """Set every element of ``input`` to ``value``."""
    return input.fill_(value)
