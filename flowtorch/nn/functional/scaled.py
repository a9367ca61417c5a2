"""Products of float8 matrices with the scales that undo their quantisation."""

from __future__ import annotations

import enum

import flowtorch as torch

from ...ops.op import composite

__all__ = ["ScalingType", "SwizzleType", "scaled_grouped_mm", "scaled_mm"]

_FLOAT8 = frozenset((torch.float8_e4m3fn, torch.float8_e5m2))


class ScalingType(enum.Enum):
    """Which elements of a matrix share one scale."""

    TensorWise = 0
    RowWise = 1
    BlockWise1x16 = 2
    BlockWise1x32 = 3
    BlockWise1x128 = 4
    BlockWise128x128 = 5


class SwizzleType(enum.Enum):
    """How scales are ordered in memory."""

    NO_SWIZZLE = 0
    SWIZZLE_32_4_4 = 1


@composite(namespace="nn.functional")
def scaled_mm(
    mat_a,
    mat_b,
    scale_a,
    scale_recipe_a,
    scale_b,
    scale_recipe_b,
    swizzle_a=None,
    swizzle_b=None,
    bias=None,
    output_dtype=torch.bfloat16,
    contraction_dim=(),
    use_fast_accum: bool = False,
):
    """(M, K) @ (K, N) of float8 matrices times their scales, summed in float32 and rounded once to ``output_dtype``.

    Scales are one number per matrix (TensorWise), or (M, 1) and (1, N) (RowWise); block scales need a GPU.
    """
    if mat_a.dim() != 2 or mat_b.dim() != 2 or mat_a.size(1) != mat_b.size(0):
        shapes = "x".join(map(str, mat_a.shape)), "x".join(map(str, mat_b.shape))
        raise ValueError(f"mat_a and mat_b shapes cannot be multiplied ({shapes[0]} and {shapes[1]})")
    first, second = _single(scale_a), _single(scale_b)
    recipe = _single(scale_recipe_a)
    known = recipe in (ScalingType.TensorWise, ScalingType.RowWise) and recipe is _single(scale_recipe_b)
    known = known and isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor)
    if not known or mat_a.dtype not in _FLOAT8 or mat_b.dtype not in _FLOAT8:
        raise ValueError(_configurations(mat_a, mat_b, first, second))
    if recipe is ScalingType.TensorWise:
        if first.numel() != 1 or second.numel() != 1:
            raise ValueError(_configurations(mat_a, mat_b, first, second))
    else:
        for name, scale, shape in (
            ("scale_a", first, (mat_a.size(0), 1)),
            ("scale_b", second, (1, mat_b.size(1))),
        ):
            if tuple(scale.shape) != shape:
                raise ValueError(f"{name} must have shape {list(shape)}, got {list(scale.shape)}")
    product = (mat_a.float() @ mat_b.float()) * (first * second)
    if bias is not None:
        product = product + bias.float()
    return product.to(mat_a.dtype if output_dtype is None else output_dtype)


@composite(namespace="nn.functional")
def scaled_grouped_mm(
    mat_a,
    mat_b,
    scale_a,
    scale_recipe_a,
    scale_b,
    scale_recipe_b,
    swizzle_a=None,
    swizzle_b=None,
    bias=None,
    offs=None,
    output_dtype=torch.bfloat16,
    contraction_dim=(),
    use_fast_accum: bool = False,
):
    """``grouped_mm`` of float8 matrices with scales, which PyTorch offers on GPUs alone: NotImplementedError."""
    raise NotImplementedError(
        "Could not run 'aten::_scaled_grouped_mm_v2' with arguments from the 'CPU' backend: multiply the matrices by "
        "their scales, and call torch.nn.functional.grouped_mm"
    )


def _single(value):
    """The only item of a list, or the value itself."""
    return value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value


def _configurations(mat_a, mat_b, scale_a, scale_b) -> str:
    rows, columns = mat_a.size(0), mat_b.size(1)
    return (
        "Invalid scaling configuration.\n"
        "- For TensorWise scaling, a and b should be float8, scales should be float and singletons.\n"
        f"- For RowWise scaling, a and b should be float8, scale_a ({rows}, 1) and scale_b (1, {columns}).\n"
        f"Got mat_a {mat_a.dtype}, mat_b {mat_b.dtype}, scales of shape {list(getattr(scale_a, 'shape', []))} and "
        f"{list(getattr(scale_b, 'shape', []))}. Other scalings need a GPU"
    )
