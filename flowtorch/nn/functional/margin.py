"""Losses with a margin, and losses that compare embeddings."""

from __future__ import annotations

from collections.abc import Callable

import flowtorch as torch

from ...ops import activation as ops
from ...ops.op import composite
from .distance import pairwise_distance
from .reduction import reduce as _reduce
from .reduction import resolve

__all__ = [
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


@composite(namespace="nn.functional")
def margin_ranking_loss(
    input1, input2, target, margin: float = 0, size_average=None, reduce=None, reduction: str = "mean"
):
    """``max(0, margin - target * (input1 - input2))``."""
    reduction = resolve(reduction, size_average, reduce)
    if not input1.dim() == input2.dim() == target.dim():
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.size()}, input2: {input2.size()}, target: {target.size()} "
        )
    return _reduce((-target * (input1 - input2) + margin).clamp_min(0), reduction)


@composite(namespace="nn.functional")
def hinge_embedding_loss(
    input, target, margin: float = 1.0, size_average=None, reduce=None, reduction: str = "mean"
):
    """``input`` where the target is 1, ``max(0, margin - input)`` where it is -1."""
    reduction = resolve(reduction, size_average, reduce)
    # Targets other than 1 and -1 count as both, as in PyTorch.
    apart = (margin - input).clamp_min(0).masked_fill(target == 1, 0)
    together = input.masked_fill(target == -1, 0)
    return _reduce(apart + together, reduction)


@composite(namespace="nn.functional")
def cosine_embedding_loss(
    input1, input2, target, margin: float = 0, size_average=None, reduce=None, reduction: str = "mean"
):
    """``1 - cos`` where the target is 1, ``max(0, cos - margin)`` where it is -1; (N, D) or (D) inputs."""
    reduction = resolve(reduction, size_average, reduce)
    _check_embeddings(input1, input2, target)
    dim = target.dim()
    eps = 1e-12
    square1 = (input1 * input1).sum(dim) + eps
    square2 = (input2 * input2).sum(dim) + eps
    cosine = (input1 * input2).sum(dim) / (square1 * square2).sqrt()
    together = (1 - cosine).masked_fill(target != 1, 0)
    apart = (cosine - margin).clamp_min(0).masked_fill(target != -1, 0)
    return _reduce(together + apart, reduction)


def _check_embeddings(input1, input2, target) -> None:
    if target.dim() not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    dims = target.dim() + 1
    if input1.dim() != dims or input2.dim() != dims:
        raise RuntimeError(
            f"{target.dim()}D target tensor expects {dims}D input tensors, but found inputs with sizes "
            f"{list(input1.size())} and {list(input2.size())}."
        )


@composite(namespace="nn.functional")
def multi_margin_loss(
    input,
    target,
    p: int = 1,
    margin: float = 1.0,
    weight=None,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
):
    """The mean over wrong classes of ``max(0, margin - input[target] + input[class]) ** p``; (N, C) or (C) input."""
    reduction = resolve(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    _check_scores(input, target)
    classes = input.size(-1) if input.dim() else 1
    if weight is not None and weight.numel() != classes:
        raise RuntimeError(f"inconsistent weight size, expected {classes} but got {list(weight.shape)}")
    scores = input.view(-1, classes)
    if target.dtype != torch.int64:
        raise RuntimeError(f"expected scalar type Long but found {target.dtype.label}")
    truth = target.view(-1, 1)
    if not truth.is_meta and ((truth < 0) | (truth >= classes)).any():
        raise RuntimeError("target out of range")
    excess = (margin - scores.gather(1, truth) + scores).relu()
    loss = excess if p == 1 else excess * excess
    if weight is not None:
        loss = loss * weight[truth]
    loss = loss.scatter(1, truth, 0).sum(1) / classes
    return _reduce(loss.view(target.shape), reduction)


def _check_scores(input, target) -> None:
    _check_matrix(input)
    rows = input.size(0) if input.dim() == 2 else 1
    if target.dim() > 1 or target.numel() != rows:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch "
            f"size). Expected target size [{rows}], but got {list(target.shape)}. Input has shape {list(input.shape)}."
        )


def _check_matrix(input) -> None:
    if input.dim() > 2 or (input.dim() > 0 and input.size(-1) == 0):
        raise RuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(input.shape)}"
        )


@composite(namespace="nn.functional")
def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction: str = "mean"):
    """The mean over pairs of a true and a false class of ``max(0, 1 - input[true] + input[false])``.

    Input is (N, C) or (C); target lists the true classes of each sample and ends at the first -1.
    """
    reduction = resolve(reduction, size_average, reduce)
    _check_matrix(input)
    if target.shape != input.shape:
        raise RuntimeError(
            f"inconsistent target size: {list(target.shape)} for input of size: {list(input.shape)}"
        )
    classes = input.size(-1) if input.dim() else 1
    scores, labels = input.view(-1, classes), target.view(-1, classes)
    if not labels.is_meta and ((labels < -1) | (labels >= classes)).any():
        raise RuntimeError("argument #2 'target' is out of range")
    listed = (labels >= 0).to(torch.int64).cumprod(1).to(torch.bool)
    safe = labels.masked_fill(~listed, 0)
    # Unlisted places all point at class 0: count how often each class is listed, without them.
    true = torch.zeros_like(scores).scatter_add(1, safe, listed.to(scores.dtype)) > 0
    excess = (1 - scores.gather(1, safe).unsqueeze(2) + scores.unsqueeze(1)).relu()
    counted = listed.unsqueeze(2) & ~true.unsqueeze(1)
    loss = excess.masked_fill(~counted, 0).sum((1, 2)) / classes
    return _reduce(loss.view(input.shape[:-1]), reduction)


@composite(namespace="nn.functional")
def multilabel_soft_margin_loss(
    input, target, weight=None, size_average=None, reduce=None, reduction: str = "mean"
):
    """The mean over the last dimension of the binary cross entropies of ``sigmoid(input)``."""
    reduction = resolve(reduction, size_average, reduce)
    loss = -(target * ops.logsigmoid(input) + (1 - target) * ops.logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return _reduce(loss.sum(-1) / input.size(-1), reduction)


@composite(namespace="nn.functional")
def triplet_margin_loss(
    anchor,
    positive,
    negative,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average=None,
    reduce=None,
    reduction: str = "mean",
):
    """``max(0, margin + |anchor - positive| - |anchor - negative|)`` in the p-norm of the last dimension."""
    reduction = resolve(reduction, size_average, reduce)

    def distance(x, y):
        return pairwise_distance(x, y, p, eps)

    return _triplet(anchor, positive, negative, distance, margin, swap, reduction)


@composite(namespace="nn.functional")
def triplet_margin_with_distance_loss(
    anchor,
    positive,
    negative,
    *,
    distance_function: Callable | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
):
    """``triplet_margin_loss`` with any function that measures distance."""
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet(anchor, positive, negative, distance, margin, swap, resolve(reduction))


def _triplet(anchor, positive, negative, distance, margin, swap, reduction):
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but "
            f"got: anchor {anchor.dim()}D, positive {positive.dim()}D, and negative {negative.dim()}D inputs"
        )
    near = distance(anchor, positive)
    far = distance(anchor, negative)
    if swap:  # the negative may be closer to the positive than to the anchor
        far = torch.minimum(far, distance(positive, negative))
    return _reduce((margin + near - far).clamp_min(0), reduction)
