"""Tensors on several devices: copies, pieces, sums."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import flowtorch as torch

from ...tensor import Tensor

__all__ = ["broadcast", "broadcast_coalesced", "gather", "reduce_add", "reduce_add_coalesced", "scatter"]


def device_of(where: Any) -> Any:
    """The device that a device, its name or the number of a GPU stands for; -1 is the CPU."""
    if isinstance(where, int):
        return torch.device("cpu") if where == -1 else torch.device("cuda", where)
    return torch.device(where)


def broadcast(tensor: Tensor, devices: Sequence[Any]) -> tuple[Tensor, ...]:
    """Return the tensor on each of ``devices``."""
    return tuple(tensor.to(device_of(device)) for device in devices)


def broadcast_coalesced(tensors: Sequence[Tensor], devices: Sequence[Any]) -> list[list[Tensor]]:
    """Return, for each of ``devices``, all ``tensors`` there."""
    return [[tensor.to(device_of(device)) for tensor in tensors] for device in devices]


def reduce_add(inputs: Sequence[Tensor], destination: Any = None) -> Tensor:
    """Return the sum of tensors from several devices, on ``destination`` or where the first one is."""
    device = inputs[0].device if destination is None else device_of(destination)
    total = inputs[0].to(device)
    for other in inputs[1:]:
        if other.shape != inputs[0].shape:
            raise ValueError(f"input has invalid size: got {tuple(other.shape)}, but expected {tuple(inputs[0].shape)}")
        total = total + other.to(device)
    return total


def reduce_add_coalesced(inputs: Sequence[Sequence[Tensor]], destination: Any = None) -> tuple[Tensor, ...]:
    """Return the sums of the tensors in the same places of several lists."""
    return tuple(reduce_add(tensors, destination) for tensors in zip(*inputs, strict=True))


def scatter(
    tensor: Tensor, devices: Sequence[Any], chunk_sizes: Sequence[int] | None = None, dim: int = 0
) -> tuple[Tensor, ...]:
    """Return pieces of the tensor along ``dim``, one on each of ``devices``."""
    pieces = tensor.chunk(len(devices), dim) if chunk_sizes is None else tensor.split(list(chunk_sizes), dim)
    return tuple(piece.to(device_of(device)) for piece, device in zip(pieces, devices, strict=False))


def gather(tensors: Sequence[Tensor], dim: int = 0, destination: Any = None) -> Tensor:
    """Return the tensors in one along ``dim``, on ``destination`` or on the current GPU."""
    device = torch.device("cuda") if destination is None else device_of(destination)
    if dim == 0 and all(tensor.dim() == 0 for tensor in tensors):
        warnings.warn(
            "Was asked to gather along dimension 0, but all input tensors were scalars; will instead "
            "unsqueeze and return a vector.",
            stacklevel=4,
        )
        tensors = [tensor.unsqueeze(0) for tensor in tensors]
    return torch.cat([tensor.to(device) for tensor in tensors], dim)
