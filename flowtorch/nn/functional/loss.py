"""Losses between predictions and targets of one shape, and the cross entropies."""

from __future__ import annotations

import math
import warnings

import flowtorch as torch

from ...ops import activation as ops
from ...ops import linear_cross_entropy as chunked
from ...ops.linear import linear
from ...ops.loss import _cross_entropy as cross_entropy_of_rows
from ...ops.loss import _mse_loss as squared_error
from ...ops.loss import are_alike, are_rows, cross_entropy_of_indices
from ...ops.op import composite
from ...ops.single import in_single
from .reduction import NAMES, resolve
from .reduction import reduce as _reduce

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "ctc_loss",
    "gaussian_nll_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "linear_cross_entropy",
    "mse_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
]


def _same_shape(input, target):
    """Both tensors broadcast to one shape, with PyTorch's warning if that changes anything."""
    if input.shape == target.shape:
        return input, target
    warnings.warn(
        f"Using a target size ({target.size()}) that is different to the input size ({input.size()}). This will "
        "likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
        stacklevel=3,
    )
    return torch.broadcast_tensors(input, target)


def _weighted(loss, input, weight, reduction: str, mean_over_weight: bool = True):
    """Reduce a loss per element that has a weight per element."""
    if weight.shape != input.shape:
        raise ValueError("Weights and input must have the same size.")
    loss = loss * weight
    if reduction == "mean" and mean_over_weight:
        return loss.sum() / weight.sum()
    return _reduce(loss, reduction)


@composite(namespace="nn.functional")
def l1_loss(input, target, size_average=None, reduce=None, reduction: str = "mean", weight=None):
    """The absolute error."""
    expanded, target = _same_shape(input, target)
    reduction = resolve(reduction, size_average, reduce)
    loss = (expanded - target).abs()
    return _reduce(loss, reduction) if weight is None else _weighted(loss, input, weight, reduction)


@composite(namespace="nn.functional")
def mse_loss(input, target, size_average=None, reduce=None, reduction: str = "mean", weight=None):
    """The squared error."""
    if weight is size_average is reduce is None and reduction in NAMES and are_alike(input, target):
        return squared_error(input, target, reduction)
    expanded, target = _same_shape(input, target)
    reduction = resolve(reduction, size_average, reduce)
    alike = input.dtype is target.dtype and expanded.shape == target.shape
    if weight is None and alike and input.dtype.is_floating_point:
        return squared_error(expanded, target, reduction)
    difference = expanded - target
    loss = difference * difference
    return _reduce(loss, reduction) if weight is None else _weighted(loss, input, weight, reduction)


@composite(namespace="nn.functional")
def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction: str = "mean", beta: float = 1.0):
    """The absolute error less ``beta / 2``; below ``beta`` a parabola that joins smoothly."""
    if beta == 0.0:
        return l1_loss(input, target, size_average, reduce, reduction)
    input, target = _same_shape(input, target)
    reduction = resolve(reduction, size_average, reduce)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    return _reduce(_smooth(input, target, beta, beta), reduction)


@in_single
def _smooth(input, target, delta: float, over: float = 1.0):
    loss = ops.huber(input - target, delta)
    return loss if over == 1 else loss / over


@composite(namespace="nn.functional")
def huber_loss(input, target, reduction: str = "mean", delta: float = 1.0, weight=None):
    """Half the squared error; linear with the same slope where the error exceeds ``delta``."""
    expanded, target = _same_shape(input, target)
    reduction = resolve(reduction)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    loss = _smooth(expanded, target, delta)
    return _reduce(loss, reduction) if weight is None else _weighted(loss, input, weight, reduction, False)


def _refuse_gradient(function: str, **tensors) -> None:
    for name, t in tensors.items():
        if t is not None and t.requires_grad and torch.is_grad_enabled():
            raise RuntimeError(f"The function '{function}' is not differentiable with respect to argument '{name}'. "
                               "This input cannot have requires_grad True.")


@composite(namespace="nn.functional")
def soft_margin_loss(input, target, size_average=None, reduce=None, reduction: str = "mean"):
    """``log(1 + exp(-target * input))``."""
    reduction = resolve(reduction, size_average, reduce)
    _refuse_gradient("soft_margin_loss", target=target)
    shape = torch.broadcast_shapes(input.shape, target.shape)
    if shape != input.shape:
        raise RuntimeError(f"output with shape {list(input.shape)} doesn't match the broadcast shape {list(shape)}")
    return _reduce((-input * target).exp().log1p(), reduction)


@composite(namespace="nn.functional")
def kl_div(input, target, size_average=None, reduce=None, reduction: str = "mean", log_target: bool = False):
    """``target * (log(target) - input)``; "batchmean" divides the sum by the batch size."""
    batchmean = reduction == "batchmean" and size_average is None and reduce is None
    if batchmean:
        reduction = "sum"
    elif reduction == "mean" and size_average is None and reduce is None:
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    reduction = resolve(reduction, size_average, reduce)
    if not (input.dtype.is_floating_point and target.dtype.is_floating_point):
        raise RuntimeError(f"kl_div: Integral inputs not supported. (input {input.dtype!r}, target {target.dtype!r})")
    if log_target:
        loss = target.exp() * (target - input)
    else:
        loss = torch.xlogy(target, target) - target * input
    result = _reduce(loss, reduction)
    return result / input.size(0) if batchmean and input.dim() != 0 else result


@composite(namespace="nn.functional")
def poisson_nll_loss(
    input,
    target,
    log_input: bool = True,
    full: bool = False,
    size_average=None,
    eps: float = 1e-8,
    reduce=None,
    reduction: str = "mean",
):
    """The negative log likelihood of Poisson counts; ``full`` adds Stirling's approximation of log(target!)."""
    reduction = resolve(reduction, size_average, reduce)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        loss = loss + stirling.masked_fill(target <= 1, 0)
    return _reduce(loss, reduction)


@composite(namespace="nn.functional")
def gaussian_nll_loss(input, target, var, full: bool = False, eps: float = 1e-6, reduction: str = "mean"):
    """The negative log likelihood of ``target`` under normal distributions; ``var`` is clamped to ``eps``."""
    if isinstance(var, float):
        var = torch.full_like(input, var)
    if (var < 0).any():
        raise ValueError("var has negative entry/entries")
    if var.shape != input.shape:
        if tuple(input.shape[:-1]) == tuple(var.shape):
            var = var.unsqueeze(-1)
        elif input.dim() != var.dim() or _differing_sizes(input, var) != 1:
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    var = var.clone()
    with torch.no_grad():  # the derivative ignores the clamp
        var.clamp_(min=eps)
    loss = 0.5 * (var.log() + (input - target) ** 2 / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _reduce(loss, reduction)


def _differing_sizes(input, var) -> int:
    """The sum of the sizes of ``var`` in the dimensions where it differs: 1 if one dimension broadcasts."""
    return sum(v for i, v in zip(input.shape, var.shape, strict=True) if i != v)


@composite(namespace="nn.functional")
def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction: str = "mean"):
    """``-(target * log(input) + (1 - target) * log(1 - input))``, logarithms held above -100."""
    reduction = resolve(reduction, size_average, reduce)
    if target.shape != input.shape:
        raise ValueError(
            f"Using a target size ({target.size()}) that is different to the input size ({input.size()}) is "
            "deprecated. Please ensure they have the same size."
        )
    if target.dtype != input.dtype:
        raise RuntimeError(f"Found dtype {target.dtype.label} but expected {input.dtype.label}: binary_cross_entropy "
                           "needs input and target of one dtype")
    _refuse_gradient("binary_cross_entropy", weight=weight)
    loss = ops.binary_entropy(input, target)
    if weight is not None:
        loss = (loss * weight).to(loss.dtype)
    return _reduce(loss, reduction)


@composite(namespace="nn.functional")
def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce=None, reduction: str = "mean", pos_weight=None
):
    """The binary cross entropy of ``sigmoid(input)``; ``pos_weight`` scales the terms of positive targets."""
    reduction = resolve(reduction, size_average, reduce)
    if target.shape != input.shape:
        raise ValueError(f"Target size ({target.size()}) must be the same as input size ({input.size()})")
    _refuse_gradient("binary_cross_entropy_with_logits", weight=weight, pos_weight=pos_weight)
    log_sigmoid = ops.logsigmoid(input)
    if pos_weight is not None:
        log_sigmoid = log_sigmoid * ((pos_weight - 1) * target + 1)
    loss = (1 - target) * input - log_sigmoid
    if loss.dtype != target.dtype:
        if not torch.can_cast(loss.dtype, target.dtype):
            raise RuntimeError(f"result type {loss.dtype.label} can't be cast to the desired output type "
                               f"{target.dtype.label}: binary_cross_entropy_with_logits needs a floating-point target")
        loss = loss.to(target.dtype)
    if weight is not None:
        loss = loss * weight
    return _reduce(loss, reduction)


@composite(namespace="nn.functional")
def cross_entropy(
    input,
    target,
    weight=None,
    size_average=None,
    ignore_index: int = -100,
    reduce=None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
):
    """The cross entropy of (N, C, ...) or (C) logits and a target.

    The target has class indices (int64, shape (N, ...)), or probabilities (floating point, the shape of the logits).
    ``weight`` has a factor for each class, ``ignore_index`` names a target that does not count, ``label_smoothing``
    mixes the target with the uniform distribution. ``reduction`` is "mean" (over the targets that count), "sum" or
    "none".

    >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    >>> torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1]))
    tensor(0.1269)
    """
    if weight is size_average is reduce is None and label_smoothing == 0.0 and reduction in NAMES and are_rows(
            input, target):
        return cross_entropy_of_rows(input, target, None, reduction, ignore_index)
    reduction = resolve(reduction, size_average, reduce)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    class_dim = 0 if input.dim() == 1 else 1
    if input.dim() == 0:
        raise RuntimeError("input is expected to be at least 1-dimensional")
    if weight is not None and (weight.dim() != 1 or weight.size(0) != input.size(class_dim)):
        raise RuntimeError(
            f"weight tensor should be defined either for all {input.size(class_dim)} classes or "
            f"no classes but got weight tensor of shape: {list(weight.shape)}"
        )
    if input.shape == target.shape:
        if not target.dtype.is_floating_point:
            raise RuntimeError(
                f"Expected floating point type for target with class probabilities, got {target.dtype.label}"
            )
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        return _cross_entropy_probabilities(input, target, weight, reduction, label_smoothing, class_dim)
    if label_smoothing == 0.0 and input.dtype.is_floating_point:
        return cross_entropy_of_indices(input, target, weight, reduction, ignore_index)
    log_probability = torch.log_softmax(input, class_dim)
    likelihood = torch.nn.functional.nll_loss(  # type: ignore[misc]
        log_probability, target, weight, ignore_index=ignore_index, reduction=reduction
    )
    if label_smoothing == 0.0:
        return likelihood
    smooth = _uniform_loss(log_probability, target, weight, reduction, ignore_index, class_dim)
    return (1 - label_smoothing) * likelihood + (label_smoothing / input.size(class_dim)) * smooth


def _per_class(weight, input, class_dim: int):
    """A weight per class, shaped to broadcast against ``input``."""
    return weight.view([-1 if d == class_dim else 1 for d in range(input.dim())])


def _cross_entropy_probabilities(input, target, weight, reduction, label_smoothing, class_dim):
    classes = input.size(class_dim)
    if label_smoothing > 0.0:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    loss = torch.log_softmax(input, class_dim) * target
    if weight is not None:
        loss = loss * _per_class(weight, input, class_dim)
    if reduction == "none":
        return -loss.sum(class_dim)
    total = -loss.sum()
    return total if reduction == "sum" else total / (input.numel() / classes if classes else 0)


def _uniform_loss(log_probability, target, weight, reduction, ignore_index, class_dim):
    """The loss against the uniform distribution, times the number of classes."""
    scaled = log_probability
    if weight is not None:
        scaled = scaled * _per_class(weight, scaled, class_dim)
    ignored = target == ignore_index
    loss = (-scaled.sum(class_dim)).masked_fill(ignored, 0.0)
    if reduction != "mean":
        return _reduce(loss, reduction)
    if weight is None:
        return loss.sum() / (~ignored).sum()
    chosen = weight.index_select(0, target.masked_fill(ignored, 0).flatten())
    return loss.sum() / chosen.masked_fill(ignored.flatten(), 0.0).sum()


@composite(namespace="nn.functional")
def ctc_loss(
    log_probs,
    targets,
    input_lengths,
    target_lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
):
    """The negative log likelihood of label sequences over all alignments with (T, N, C) log probabilities."""
    code = NAMES.index(resolve(reduction))
    return torch.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, code, zero_infinity)


@composite(namespace="nn.functional")
def linear_cross_entropy(
    input,
    linear_weight,
    target,
    *,
    linear_bias=None,
    weight=None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options=None,
):
    """The cross entropy of ``linear(input, linear_weight, linear_bias)``; ``options`` asks for work in chunks.

    Input is (N, in_features) or (in_features); the weight (C, in_features) or (C, d1, ..., in_features).
    """
    shape, rows = _check_linear_cross_entropy(input, linear_weight, linear_bias)
    probabilities = tuple(target.shape) == shape
    if probabilities and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    index = -100 if ignore_index is None else ignore_index
    if options is not None:
        if len(linear_weight.shape) == 2 and label_smoothing == 0.0 and target.dtype == torch.int64:
            return _in_chunks(
                input, linear_weight, linear_bias, target, weight, resolve(reduction), index, options
            )
        warnings.warn(
            "linear_cross_entropy: ``options`` ignored; chunked path needs reduction in {'mean','sum','none'}, "
            "label_smoothing == 0, target.dtype == int64, out_features == (). Got "
            f"reduction={reduction!r}, label_smoothing={label_smoothing}, target.dtype={target.dtype}, "
            f"out_features={tuple(linear_weight.shape[1:-1])}.",
            stacklevel=2,
        )
    flat_bias = None if linear_bias is None else linear_bias.reshape(rows)
    logits = linear(input, linear_weight.reshape(rows, -1), flat_bias).reshape(shape)
    return cross_entropy(
        logits, target, weight, ignore_index=index, reduction=reduction, label_smoothing=label_smoothing
    )


def _check_linear_cross_entropy(input, linear_weight, linear_bias):
    """The shape of the logits, and the number of rows of the flattened weight."""
    if input.dim() not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if linear_weight.dim() < 2:
        raise RuntimeError(
            f"expected linear_weight with dimensionality at least 2, got {linear_weight.dim()}"
        )
    if input.shape[-1] != linear_weight.shape[-1]:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), "
            f"got {input.shape[-1]} and {linear_weight.shape[-1]}, respectively"
        )
    outer = tuple(linear_weight.shape[:-1])
    if linear_bias is not None and tuple(linear_bias.shape) != outer:
        raise RuntimeError(f"expected linear_bias shape {outer}, got {tuple(linear_bias.shape)}")
    if len(outer) > 1 and input.dim() == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} requires batched "
            f"input, (N, {input.shape[-1]}), got unbatched input with shape {tuple(input.shape)}"
        )
    return (*input.shape[:-1], *outer), math.prod(outer)


def _in_chunks(input, linear_weight, linear_bias, target, weight, reduction, ignore_index, options):
    """Cross entropy of a slice of the batch at a time, forward and backward."""
    batched = input.dim() == 2
    if not batched:
        input, target = input.unsqueeze(0), target.unsqueeze(0)
    rows = options.rows(input.size(0), input.size(1), linear_weight.size(0))
    losses = chunked.linear_cross_entropy(
        input, linear_weight, target, linear_bias, weight, ignore_index, rows
    )
    if reduction == "none":
        return losses if batched else losses.squeeze(0)
    total = losses.sum()
    if reduction == "sum":
        return total
    counted = target != ignore_index
    return total / (counted.sum() if weight is None else weight[target[counted]].sum())
