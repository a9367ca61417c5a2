"""Sparse gradients of dense parameters: of embeddings and of gather."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.sparse.entries import build
from flowtorch.sparse.on_device import by_host
from flowtorch.tensor import wrap


@by_host
def embedding_gradient(g: Any, indices: Any, shape: tuple, padding_idx: int, scale_grad_by_freq: bool) -> Any:
    """One entry per row looked up, in that order."""
    if scale_grad_by_freq:
        raise RuntimeError("embedding_backward: scale_grad_by_freq not supported with sparse gradients")
    rows = indices._array.reshape(-1).astype(np.int64)
    g = g.reshape(rows.size, *shape[1:])
    if padding_idx is not None and padding_idx >= 0:
        keep = np.flatnonzero(rows != padding_idx)
        if len(keep) != rows.size:
            rows, g = rows[keep], g.index_select(0, wrap(keep))
    return build(wrap(rows[None].copy()), g, shape, rows.size < 2)


@by_host
def gather_gradient(g: Any, dim: int, index: Any, shape: tuple) -> Any:
    """One entry per element gathered."""
    where = np.indices(index.shape, np.int64).reshape(len(shape), -1) if shape else np.zeros((0, 1), np.int64)
    if shape:
        where[dim] = index._array.reshape(-1)
    return build(wrap(where), g.reshape(-1), shape, False)
