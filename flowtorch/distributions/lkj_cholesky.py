"""The LKJ distribution of correlation matrices."""
from __future__ import annotations

import math
from typing import Any

import flowtorch as ft
from flowtorch.tensor import Size, Tensor

from . import constraints
from .beta import Beta
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Cholesky factors of ``dim`` by ``dim`` correlation matrices C with density ``det(C)**(concentration -
    1)`` (Lewandowski, Kurowicka and Joe, 2009)."""

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky
    _batched = ("concentration", "_beta")
    _carried = ("dim",)

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None) -> None:
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        self.concentration, = broadcast_all(concentration)
        # The onion method: row i of the factor is a point in the ball of i dimensions.
        marginal = self.concentration + 0.5 * (dim - 2)
        offset = ft.arange(dim - 1, dtype=self.concentration.dtype, device=self.concentration.device)
        offset = ft.cat([offset.new_zeros((1,)), offset])
        self._beta = Beta(offset + 0.5, marginal.unsqueeze(-1) - 0.5 * offset)  # type: ignore[attr-defined]
        super().__init__(self.concentration.size(), Size((dim, dim)), validate_args)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        radius2 = self._beta.sample(sample_shape).unsqueeze(-1)
        normal = ft.randn(self._extended_shape(sample_shape), dtype=radius2.dtype,
                          device=radius2.device).tril(-1)
        direction = normal / normal.norm(dim=-1, keepdim=True)
        direction[..., 0, :].fill_(0.0)         # 0/0 in the first row
        rows = ft.sqrt(radius2) * direction
        left = (1 - ft.sum(rows ** 2, dim=-1)).clamp(min=ft.finfo(rows.dtype).tiny)
        return rows + ft.diag_embed(left.sqrt())

    def log_prob(self, value: Tensor) -> Tensor:
        diagonal = self._checked(value).diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = ft.arange(2, self.dim + 1, device=self.concentration.device)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - order  # type: ignore[attr-defined]
        n = self.dim - 1
        alpha = self.concentration + 0.5 * n
        normalizer = 0.5 * n * math.log(math.pi) + ft.mvlgamma(alpha - 0.5, n) - ft.lgamma(alpha) * n
        return ft.sum(order * diagonal.log(), dim=-1) - normalizer
