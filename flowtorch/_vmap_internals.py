"""``vmap`` where libraries found it before ``torch.vmap``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flowtorch as torch

__all__ = ["vmap"]


def vmap(func: Callable, in_dims: Any = 0, out_dims: Any = 0) -> Callable:
    """``func`` over a batch of arguments: ``torch.vmap``."""
    return torch.vmap(func, in_dims, out_dims)


def _vmap(func: Callable, in_dims: Any = 0, out_dims: Any = 0, allow_none_pass_through: bool = False) -> Callable:
    """``vmap`` for gradients; results that are None (``allow_none_pass_through``) are not supported."""
    if allow_none_pass_through:
        raise NotImplementedError("_vmap(allow_none_pass_through=True): give torch.vmap a function without None")
    return torch.vmap(func, in_dims, out_dims)
