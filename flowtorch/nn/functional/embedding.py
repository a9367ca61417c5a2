"""Lookups in tables, and one-hot vectors."""

from __future__ import annotations

import warnings

import flowtorch as torch

from ...autograd.levels import unwrapped
from ...ops.arguments import need_int
from ...ops.op import composite

__all__ = ["embedding", "embedding_bag", "one_hot"]


def embedding(
    input,
    weight,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
):
    """Replace every integer of ``input`` by that row of ``weight``; ``max_norm`` shrinks the rows used, in place."""
    if padding_idx is None:
        padding_idx = -1
    else:
        rows = weight.size(0)
        if not -rows <= padding_idx < rows and padding_idx != 0:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx = padding_idx % rows if rows else 0
    if max_norm is not None:
        _shrink_rows(weight, input, max_norm, norm_type)
    return torch.embedding(weight, input, padding_idx, scale_grad_by_freq, sparse)


def _shrink_rows(weight, indices, max_norm: float, norm_type: float) -> None:
    """Scale the rows that ``indices`` name down to ``max_norm`` where they are longer."""
    with torch.no_grad():
        torch.embedding_renorm_(weight, indices, max_norm, norm_type)


MODES = ("sum", "mean", "max")


def embedding_bag(
    input,
    weight,
    offsets=None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights=None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
):
    """The sum, mean or maximum of the rows of each bag; bags are the rows of ``input``, or start at ``offsets``."""
    if weight.dtype == torch.int64 and input.is_floating_point():
        warnings.warn(
            "Argument order of nn.functional.embedding_bag was changed. Usage `embedding_bag(weight, input, ...)` is "
            "deprecated, and should now be `embedding_bag(input, weight, ...)`.",
            stacklevel=2,
        )
        weight, input = input, weight
    if per_sample_weights is not None and input.shape != per_sample_weights.shape:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, then it must have the "
            f"same shape as the input ({input.shape})"
        )
    if weight.dim() != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.dim()}")
    _check_bags(input, offsets)
    if input.dim() == 2:
        offsets = torch.arange(0, input.numel(), input.size(1), dtype=input.dtype, device=input.device)
        include_last_offset = False
        input = input.reshape(-1)
        if per_sample_weights is not None:
            per_sample_weights = per_sample_weights.reshape(-1)
    _check_mode(mode, scale_grad_by_freq, sparse, per_sample_weights)
    if max_norm is not None:
        _shrink_rows(weight, input, max_norm, norm_type)
    return torch.embedding_bag(
        weight,
        input,
        offsets,
        scale_grad_by_freq,
        MODES.index(mode),
        sparse,
        per_sample_weights,
        include_last_offset,
        padding_idx,
    )[0]


def _check_bags(input, offsets) -> None:
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
                f"sequences. However, found offsets of type {type(offsets)}"
            )
    elif input.dim() == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.dim() != 1:
            raise ValueError("offsets has to be a 1D Tensor")
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}")


def _check_mode(mode: str, scale_grad_by_freq: bool, sparse: bool, per_sample_weights) -> None:
    if mode not in MODES:
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if mode == "max" and sparse:
        raise ValueError("max mode does not support sparse weights")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' "
            f"(got mode='{mode}'). Please open a feature request on GitHub."
        )


@composite(namespace="nn.functional")
def one_hot(tensor, num_classes: int = -1):
    """A one at the place that each int64 names, zeros elsewhere: (*) to (*, num_classes).

    Without ``num_classes`` the largest integer decides. RuntimeError for negative integers and too small numbers of
    classes.

    >>> torch.nn.functional.one_hot(torch.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    num_classes = need_int("one_hot", "num_classes", 2, num_classes)
    if tensor.dtype != torch.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor, not to one of "
                           f"{tensor.dtype!r}.")
    if tensor.numel() == 0:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
    elif tensor.is_meta:
        if num_classes < 1:
            raise NotImplementedError("one_hot: the number of classes has to be given for a meta tensor")
    else:
        values = unwrapped(tensor)
        if int(values.min()) < 0:
            raise RuntimeError(f"Class values must be non-negative. The smallest is {int(values.min())}.")
        largest = int(values.max())
        if num_classes == -1:
            num_classes = largest + 1
        elif num_classes < 1:
            raise RuntimeError("num_classes should be positive")
        elif largest >= num_classes:
            raise RuntimeError(f"Class values must be smaller than num_classes. The largest is {largest}, "
                               f"num_classes is {num_classes}.")
    result = tensor.new_zeros((*tensor.shape, num_classes))
    return result.scatter_(-1, tensor.unsqueeze(-1), 1)
