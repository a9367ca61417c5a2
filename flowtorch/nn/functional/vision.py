"""Sampling grids."""

from __future__ import annotations

import warnings

import flowtorch as torch

from ...ops.op import composite

__all__ = ["affine_grid"]


@composite(namespace="nn.functional")
def affine_grid(theta, size, align_corners: bool | None = None):
    """The sampling grid of (N, 2, 3) or (N, 3, 4) affine maps for outputs of ``size``, (N, H, W, 2) or (N, D, H, W, 3)."""
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please "
            "specify align_corners=True if the old behavior is desired. See the documentation of grid_sample for "
            "details.",
            stacklevel=2,
        )
        align_corners = False
    _check_affine(theta, size)
    spatial = list(size[2:])
    if align_corners and min(spatial) == 1:
        warnings.warn(
            "Since version 1.3.0, affine_grid behavior has changed for unit-size grids when align_corners=True. This "
            "is not an intended use case of affine_grid. See the documentation of affine_grid for details.",
            stacklevel=2,
        )
    elif min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    axes = [_centers(n, align_corners, theta) for n in spatial]
    grids = torch.meshgrid(*axes, indexing="ij")[::-1]  # x first
    points = torch.stack([*grids, torch.ones_like(grids[0])], -1).view(1, -1, len(spatial) + 1)
    return torch.matmul(points, theta.transpose(1, 2)).view(size[0], *spatial, len(spatial))


def _check_affine(theta, size) -> None:
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    if len(size) not in (4, 5):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. "
            f"Got size {size}."
        )
    n = len(size) - 2
    if theta.dim() != 3 or tuple(theta.shape[1:]) != (n, n + 1):
        raise ValueError(
            f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {size}. Got {theta.shape}."
        )


def _centers(n: int, align_corners: bool, like):
    """The coordinates of ``n`` pixels in [-1, 1]: from edge to edge, or their centres."""
    if n <= 1:
        return torch.zeros(n, dtype=like.dtype, device=like.device)
    steps = torch.linspace(-1, 1, n, dtype=like.dtype, device=like.device)
    return steps if align_corners else steps * ((n - 1) / n)
