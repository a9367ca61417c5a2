"""Sampling of images and volumes at given places."""

from __future__ import annotations

import math

import flowtorch as torch
from flowtorch.ops.arguments import need_bool
from flowtorch.ops.op import composite
from flowtorch.ops.second_order import linked, piecewise

MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")


def _check(input, grid, mode: int) -> None:
    dims = input.dim()
    if grid.dim() != dims or dims > 5:
        raise RuntimeError(
            f"grid_sampler(): expected {min(dims, 5)}D input and grid with same number of dimensions, but got "
            f"input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if input.size(0) != grid.size(0):
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with sizes "
            f"{list(input.shape)} and grid with sizes {list(grid.shape)}"
        )
    if grid.size(-1) != dims - 2:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {dims - 2} in last dimension, but got grid with sizes "
            f"{list(grid.shape)}"
        )
    for d in range(2, dims):
        if input.size(d) == 0:
            raise RuntimeError(
                "grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes "
                f"{list(input.shape)} with dimension {d} being empty"
            )
    if dims == 5 and mode == 2:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if input.dtype != grid.dtype:
        raise RuntimeError(f"expected scalar type {input.dtype.label} but found {grid.dtype.label}")
    if not input.dtype.is_floating_point:
        raise NotImplementedError(
            f"\"grid_sampler_{dims - 2}d_cpu_kernel_impl\" not implemented for '{input.dtype.label}'"
        )


def _place(x, n: int, align_corners: bool):
    """Coordinates in [-1, 1] as places between pixels 0 and n - 1."""
    return (x + 1) * ((n - 1) / 2) if align_corners else ((x + 1) * n - 1) / 2


def _clip(x, n: int):
    """Hold places within the image; nothing depends on places at its edges."""
    return x.masked_fill(~(x > 0), 0).masked_fill(x >= n - 1, n - 1)  # nan counts as the first place


def _reflect(x, n: int, align_corners: bool):
    """Mirror places at the border pixels, or at the image's edges half a pixel further out."""
    low, span = (0.0, n - 1.0) if align_corners else (-0.5, float(n))
    if span == 0:
        return x * 0
    distance = (x - low).abs()
    rest = distance.fmod(span)
    odd = (distance.detach() / span).floor().fmod(2) == 1
    return torch.where(odd, span - rest, rest) + low


def _pad(x, n: int, padding: int, align_corners: bool):
    if padding == 1:
        return _clip(x, n)
    return _clip(_reflect(x, n, align_corners), n) if padding == 2 else x


def _pick(flat, shape, indices):
    """Pixels (N, C, places) of flattened images at integer places, one (N, places) tensor per dimension; else zero."""
    inside = torch.ones_like(indices[0], dtype=torch.bool)
    offset = torch.zeros_like(indices[0], dtype=torch.int64)
    for index, n in zip(indices, shape, strict=True):
        here = (index >= 0) & (index <= n - 1)
        inside = inside & here
        offset = offset * n + index.masked_fill(~here, 0).to(torch.int64)
    picked = flat.gather(2, offset.unsqueeze(1).expand(-1, flat.size(1), -1))
    return picked.masked_fill(~inside.unsqueeze(1), 0)


def _bilinear(flat, shape, places):
    """Weigh the corners of the cell around each place."""
    floors = [p.detach().floor() for p in places]
    upper = [p - f for p, f in zip(places, floors, strict=True)]
    total = 0
    for corner in range(1 << len(shape)):
        bits = [(corner >> d) & 1 for d in range(len(shape))]
        weight = math.prod(u if b else 1 - u for u, b in zip(upper, bits, strict=True))
        indices = [f + b for f, b in zip(floors, bits, strict=True)]
        total = total + _pick(flat, shape, indices) * weight.unsqueeze(1)
    return total


def _cubic_weights(t):
    """Weights of the four pixels around a place, ``t`` behind the second of them."""
    a = -0.75

    def near(x):
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x):
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return far(t + 1), near(t), near(1 - t), far(2 - t)


def _bicubic(flat, shape, places, padding: int, align_corners: bool):
    """Weigh sixteen pixels; each of them is padded for itself."""
    floors = [p.detach().floor() for p in places]
    rows, columns = (_cubic_weights(p - f) for p, f in zip(places, floors, strict=True))
    total = 0
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            indices = [
                _pad(f + step - 1, n, padding, align_corners) for f, step, n in zip(floors, (i, j), shape, strict=True)
            ]
            total = total + _pick(flat, shape, indices) * (row * column).unsqueeze(1)
    return total


@composite
def grid_sampler(input, grid, interpolation_mode: int, padding_mode: int, align_corners: bool):
    """Sample (N, C, H, W) at (N, h, w, 2) places (x, y) in [-1, 1], or (N, C, D, H, W) at (N, d, h, w, 3)."""
    _check(input, grid, interpolation_mode)
    shape = tuple(input.shape[2:])
    points = grid.reshape(grid.size(0), -1, len(shape))
    # The grid names x first, memory has it last.
    places = [_place(points[..., -1 - d], n, align_corners) for d, n in enumerate(shape)]
    if interpolation_mode != 2:
        places = [_pad(p, n, padding_mode, align_corners) for p, n in zip(places, shape, strict=True)]
    flat = input.flatten(2)
    if interpolation_mode == 0:
        sampled = _bilinear(flat, shape, places)
    elif interpolation_mode == 1:
        sampled = _pick(piecewise(flat), shape, [p.detach().round() for p in places])
        if grid.requires_grad:  # the gradient of the grid is zero, not missing
            sampled = linked(sampled, piecewise(places[0].unsqueeze(1)))
    else:
        sampled = _bicubic(flat, shape, places, padding_mode, align_corners)
    return sampled.view(input.size(0), input.size(1), *grid.shape[1:-1])


@composite
def grid_sampler_2d(input, grid, interpolation_mode: int, padding_mode: int, align_corners: bool):
    """``grid_sampler`` of images."""
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


@composite
def grid_sampler_3d(input, grid, interpolation_mode: int, padding_mode: int, align_corners: bool):
    """``grid_sampler`` of volumes."""
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


def _centers(n: int, align_corners: bool, like):
    """The coordinates of ``n`` pixels in [-1, 1]: from edge to edge, or their centres."""
    if n <= 1:
        return torch.zeros(n, dtype=like.dtype, device=like.device)
    steps = torch.linspace(-1, 1, n, dtype=like.dtype, device=like.device)
    return steps if align_corners else steps * ((n - 1) / n)


@composite
def affine_grid_generator(theta, size, align_corners: bool):
    """The places that (N, 2, 3) or (N, 3, 4) affine maps give to the pixels of outputs of ``size``."""
    need_bool("affine_grid_generator", "align_corners", 3, align_corners)
    spatial = list(size[2:])
    axes = [_centers(n, align_corners, theta) for n in spatial]
    grids = torch.meshgrid(*axes, indexing="ij")[::-1]  # x first
    points = torch.stack([*grids, torch.ones_like(grids[0])], -1).view(1, -1, len(spatial) + 1)
    return torch.matmul(points, theta.transpose(1, 2)).view(size[0], *spatial, len(spatial))
