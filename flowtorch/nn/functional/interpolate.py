"""Resizing of (N, C, ...) images and volumes."""

from __future__ import annotations

import warnings

import flowtorch as torch

from ...autograd.node_names import recorded_as
from ...ops.interpolate import make_plan, resample, resample_bytes
from ...ops.op import composite

__all__ = ["interpolate", "upsample", "upsample_bilinear", "upsample_nearest"]

DIMS = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5, "lanczos": 4}


@composite(namespace="nn.functional")
def interpolate(
    input,
    size=None,
    scale_factor=None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
):
    """Resize the spatial dimensions of (N, C, L), (N, C, H, W) or (N, C, D, H, W) to ``size`` or by ``scale_factor``.

    ``mode`` is "nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear" or "area"; the linear and
    cubic ones must fit the number of dimensions (NotImplementedError otherwise). ``align_corners`` keeps the corner
    elements' values.

    >>> torch.nn.functional.interpolate(torch.tensor([[[1.0, 2.0]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: "
            "linear | bilinear | bicubic | trilinear"
        )
    output_size, scales = _sizes(input, size, scale_factor, recompute_scale_factor, mode)
    _check_mode(input, mode, bool(align_corners), antialias)
    if mode == "area":
        spatial = input.dim() - 2
        return getattr(torch.nn.functional, f"adaptive_avg_pool{spatial}d")(input, output_size)
    _check_sizes(input, output_size)
    if not (input.dtype.is_floating_point or input.dtype == torch.uint8):
        name = {"nearest-exact": "nearest"}.get(mode, mode)
        raise NotImplementedError(
            f'"compute_indices_weights_{name}" not implemented for {input.dtype.label!r}'
        )
    double = input.dtype in (torch.float64, torch.uint8)
    plan = make_plan(
        mode, tuple(input.shape), output_size, bool(align_corners), scales, antialias, double
    )
    if input.dtype.is_floating_point or mode.startswith("nearest"):
        name = "".join(part.capitalize() for part in mode.split("-"))
        result = resample(input, plan) if plan else input.clone()
        return recorded_as(result, f"Upsample{name}{input.dim() - 2}DBackward0")
    return resample_bytes(input, plan)


def _sizes(input, size, scale_factor, recompute: bool | None, mode: str):
    """The output's spatial size, and the scales that the kernel shall use (None: those of the sizes)."""
    spatial = input.dim() - 2
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        if recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        return _given_size(input, size, spatial), None
    if scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if isinstance(scale_factor, (list, tuple)):
        if len(scale_factor) != spatial:
            raise ValueError(
                "Input and scale_factor must have the same number of spatial dimensions, but got input with spatial "
                f"dimensions of {list(input.shape[2:])} and scale_factor of shape {scale_factor}. Please provide "
                "input tensor in (N, C, d1, d2, ...,dK) format and scale_factor in (s1, s2, ...,sK) format."
            )
        scales = tuple(float(s) for s in scale_factor)
    else:
        scales = (float(scale_factor),) * spatial
    output_size = tuple(int(n * s) for n, s in zip(input.shape[2:], scales, strict=True))
    return output_size, None if recompute or mode == "area" else scales


def _given_size(input, size, spatial: int) -> tuple[int, ...]:
    if not isinstance(size, (list, tuple)):
        return (int(size),) * spatial
    if len(size) != spatial:
        raise ValueError(
            "Input and output must have the same number of spatial dimensions, but got input with spatial dimensions "
            f"of {list(input.shape[2:])} and output size of {size}. Please provide input tensor in "
            "(N, C, d1, d2, ...,dK) format and output size in (o1, o2, ...,oK) format."
        )
    if not all(hasattr(n, "__index__") for n in size):
        raise TypeError(
            "expected size to be one of int or Tuple[int] or Tuple[int, int] or Tuple[int, int, int], but got size "
            f"with types {[type(n) for n in size]}"
        )
    return tuple(n.__index__() for n in size)


def _check_mode(input, mode: str, align_corners: bool, antialias: bool) -> None:
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and input.dim() == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input"
        )
    dims = DIMS.get(mode)
    known = dims is not None or mode in ("nearest", "nearest-exact", "area")
    if not known or input.dim() not in (3, 4, 5) or (mode in ("bicubic", "lanczos") and input.dim() != 4):
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.dim()}D) for the modes: nearest | "
            f"linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact (got {mode})"
        )
    if dims is not None and input.dim() != dims:
        raise NotImplementedError(f"Got {input.dim()}D input, but {mode} mode needs {dims}D input")
    if mode == "lanczos" and align_corners:
        raise ValueError("Lanczos mode does not support align_corners=True")
    if mode == "lanczos" and not antialias:
        raise ValueError("Lanczos mode requires antialias=True")


def _check_sizes(input, output_size) -> None:
    shape = tuple(input.shape)
    if min(*shape[2:], *output_size) <= 0:
        names = ("D", "H", "W")[-len(output_size) :]

        def spelled(sizes):
            return ", ".join(f"{name}: {n}" for name, n in zip(names, sizes, strict=True))

        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input ({spelled(shape[2:])}) output "
            f"({spelled(output_size)})"
        )
    if shape[1] == 0:
        raise RuntimeError(
            f"Non-empty {len(shape)}D data tensor expected but got a tensor with sizes {list(shape)}"
        )


def _former(name: str) -> None:
    warnings.warn(
        f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=3
    )


def upsample(input, size=None, scale_factor=None, mode: str = "nearest", align_corners: bool | None = None):
    """The former name of ``interpolate``."""
    _former("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input, size=None, scale_factor=None):
    """``interpolate`` that repeats the nearest element."""
    _former("upsample_nearest")
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input, size=None, scale_factor=None):
    """Bilinear ``interpolate`` with aligned corners."""
    _former("upsample_bilinear")
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)
