"""The last step of every loss: "none", "mean" or "sum"."""

from __future__ import annotations

import warnings

__all__ = ["legacy_reduction", "reduce", "resolve"]

NAMES = ("none", "mean", "sum")  # in the order of PyTorch's integer codes


def legacy_reduction(size_average, reduce, stacklevel: int = 4) -> str:
    """The reduction that the old boolean pair means; None counts as True."""
    if reduce is False:
        name = "none"
    elif size_average is False:
        name = "sum"
    else:
        name = "mean"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{name}' instead.",
        stacklevel=stacklevel,
    )
    return name


def resolve(reduction, size_average=None, reduce=None) -> str:
    """The name of a reduction, from a name, PyTorch's integer code or the old boolean pair; else ValueError."""
    if size_average is not None or reduce is not None:
        return legacy_reduction(size_average, reduce)
    if reduction in NAMES:
        return reduction
    if reduction in (0, 1, 2):
        return NAMES[reduction]
    if reduction == "elementwise_mean":
        warnings.warn(
            "reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.", stacklevel=3
        )
        return "mean"
    raise ValueError(f"{reduction} is not a valid value for reduction")


def reduce(loss, reduction: str):
    """Apply a resolved reduction to the loss of every element."""
    if reduction == "mean":
        return loss.mean()
    return loss.sum() if reduction == "sum" else loss
