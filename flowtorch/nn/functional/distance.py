"""Norms and distances of vectors."""

from __future__ import annotations

import flowtorch as torch

from ...functional_nn import cosine_similarity, pairwise_distance
from ...ops.op import composite

__all__ = ["cosine_similarity", "normalize", "pairwise_distance"]


@composite(namespace="nn.functional")
def normalize(input, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out=None):
    """Divide by the p-norm along ``dim``, or by ``eps`` where the norm is smaller.

    >>> torch.nn.functional.normalize(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    norm = input.norm(p, dim, keepdim=True).clamp_min(eps)
    return input / norm if out is None else torch.div(input, norm.expand_as(input), out=out)
