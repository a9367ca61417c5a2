"""``torch._C._functorch``: what libraries ask about the tensors of function transforms."""

from __future__ import annotations

from typing import Any

from flowtorch.autograd.levels import Wrapped, levels
from flowtorch.func.batched import Batched, batch


def is_batchedtensor(tensor: Any) -> bool:
    """Whether a tensor stands for the examples of a vmap."""
    return type(tensor) is Batched


def is_functorch_wrapped_tensor(tensor: Any) -> bool:
    """Whether a tensor belongs to a function transform."""
    return isinstance(tensor, Wrapped)


def get_unwrapped(tensor: Any) -> Any:
    """What a transform's tensor stands for, one level down; of a batch, with the batch dimension in front."""
    if not isinstance(tensor, Wrapped):
        raise RuntimeError("No wrappers present!")
    return tensor.value


def maybe_get_level(tensor: Any) -> int:
    """The level of a transform's tensor, -1 for others."""
    return tensor.level if isinstance(tensor, Wrapped) else -1


def maybe_get_bdim(tensor: Any) -> int:
    """Where the batch dimension lies in ``get_unwrapped(tensor)``: in front, or -1 if there is none."""
    return 0 if is_batchedtensor(tensor) else -1


def _add_batch_dim(tensor: Any, dim: int, level: int) -> Any:
    """The examples along ``dim`` as one tensor of an open level of vmap."""
    return batch(tensor.movedim(dim, 0), levels.open[level])


def _remove_batch_dim(tensor: Any, level: int, size: int, dim: int) -> Any:
    """Undo ``_add_batch_dim``; what does not depend on the batch is repeated ``size`` times."""
    if is_batchedtensor(tensor) and tensor.level == level:
        return tensor.value.movedim(0, dim)
    return tensor.unsqueeze(dim).expand(*tensor.shape[:dim], size, *tensor.shape[dim:])
