"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

import flowtorch as torch

from ...tensor import Tensor
from ..module import _typename

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Return the elements of all parameters in one vector."""
    return torch.cat([param.view(-1) for param in _on_one_device(parameters)])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Make the parameters views of consecutive pieces of ``vec``."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {_typename(vec)}")
    start = 0
    for param in _on_one_device(parameters):
        stop = start + param.numel()
        param.data = vec[start:stop].view_as(param).data
        start = stop


def _on_one_device(parameters: Iterable[Tensor]) -> Iterable[Tensor]:
    first = None
    for param in parameters:
        first = param.device if first is None else first
        if param.device != first:
            raise TypeError("Found two parameters on different devices, this is currently not supported.")
        yield param
