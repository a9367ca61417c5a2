"""Functions of the ``torch`` namespace that networks are made of, as compositions of other ops."""

from __future__ import annotations

import math

import flowtorch as torch
from flowtorch.ops import activation, fused
from flowtorch.ops.arguments import need_bool, need_int
from flowtorch.ops.copy import like_channels
from flowtorch.ops.op import composite

# ---------------------------------------------------------------- activations with a fixed or learned shape

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


@composite
def selu(input):
    """``elu`` with the scales that keep zero mean and unit variance."""
    return activation.elu(input, SELU_ALPHA, SELU_SCALE)


@composite(name="selu_")
def selu_(input):
    """``selu`` that overwrites its input."""
    return activation.elu.op.public_inplace(input, SELU_ALPHA, SELU_SCALE)


@composite
def celu(input, alpha: float = 1.0):
    """``input`` where positive, else ``alpha * (exp(input / alpha) - 1)``."""
    return activation.elu(input, alpha, 1.0, _celu_scale(alpha))


@composite(name="celu_")
def celu_(input, alpha: float = 1.0):
    """``celu`` that overwrites its input."""
    return activation.elu.op.public_inplace(input, alpha, 1.0, _celu_scale(alpha))


def _celu_scale(alpha: float) -> float:
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return 1.0 / alpha


@composite(method=True)
def prelu(input, weight):
    """``input`` where positive, else ``weight * input``; one weight, or one per channel (dimension 1)."""
    if input.dtype != weight.dtype:
        raise RuntimeError(
            f"prelu: Type promoting not supported. Got {input.dtype.label} and {weight.dtype.label}"
        )
    if weight.numel() != 1:
        if input.dim() == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = input.size(1) if input.dim() > 1 else 1
        if weight.numel() != channels:
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{weight.numel()} and channel size = {channels}."
            )
    if weight.dim() > 1:
        raise RuntimeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.dim()}"
        )
    if input.dim() != 1 and weight.dim() == 1:
        weight = weight.view([-1 if d == 1 else 1 for d in range(input.dim())])
    return activation._prelu_kernel(input, weight)


@composite
def rrelu(input, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, generator=None):
    """Leaky ReLU with a slope per element from ``[lower, upper]`` in training, their mean in evaluation."""
    need_bool("rrelu", "training", 4, training)
    if training:
        return input.contiguous() * _random_slopes(input.contiguous(), lower, upper, generator)
    _check_bounds(lower, upper)
    return activation.leaky_relu(input, (lower + upper) / 2).contiguous()  # as PyTorch's, whatever the input's order


@composite(name="rrelu_")
def rrelu_(input, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, generator=None):
    """``rrelu`` that overwrites its input."""
    need_bool("rrelu_", "training", 4, training)
    if training:
        return input.mul_(_random_slopes(input, lower, upper, generator))
    _check_bounds(lower, upper)
    return activation.leaky_relu.op.public_inplace(input, (lower + upper) / 2)


def _check_bounds(lower: float, upper: float) -> None:
    if lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")


def _random_slopes(input, lower: float, upper: float, generator):
    """One for positive elements; for the others, and only for them, a double is drawn in order."""
    _check_bounds(lower, upper)
    if input.is_meta:
        return torch.ones_like(input)
    with torch.no_grad():
        below = input <= 0
        drawn = torch.empty(int(below.sum()), dtype=torch.float64)
        drawn.uniform_(lower, upper, generator=generator)
        return torch.ones_like(input).masked_scatter_(below, drawn.to(input))


# ---------------------------------------------------------------- dropout


def _check_dropout(name: str, input, train: bool) -> None:
    if not isinstance(input, torch.Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    need_bool(name, "train", 3, train)


def _check_probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {p}")


def _keep(input, p: float, channels: bool):
    """A random mask of ones and zeros: for every element, or for every channel of every sample."""
    if not channels:
        return torch.empty_like(input).bernoulli_(1 - p)
    if input.dim() < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    shape = (*input.shape[:2], *(1,) * (input.dim() - 2))
    return torch.empty(shape, dtype=input.dtype, device=input.device).bernoulli_(1 - p)


def _dropped(input, p: float, train: bool, channels: bool, inplace: bool):
    """Multiply by a random mask of zeros and ``1 / (1 - p)``."""
    _check_probability(p)
    if p == 0 or not train or input.numel() == 0:
        return input
    if p == 1:
        return input.mul_(0) if inplace else input * input.new_zeros(())
    if not (channels or inplace) and fused.on_device(input):
        return fused.dropout(input, p)[0]
    with torch.no_grad():
        mask = _keep(input, p, channels).div_(1 - p)
    return input.mul_(mask) if inplace else input * mask


def _alpha_dropped(input, p: float, train: bool, channels: bool, inplace: bool):
    """Replace elements by SELU's negative limit, then restore zero mean and unit variance."""
    _check_probability(p)
    if p == 0 or not train or input.numel() == 0:
        return input
    if p == 1:
        return input.mul_(0) if inplace else input * input.new_zeros(())
    limit = SELU_ALPHA * SELU_SCALE
    scale = 1 / math.sqrt((limit * limit * p + 1) * (1 - p))
    with torch.no_grad():
        mask = _keep(input, p, channels)
        shift = (mask - 1).mul_(limit * scale).add_(limit * scale * p)
        mask.mul_(scale)
    return input.mul_(mask).add_(shift) if inplace else input * mask + shift


@composite
def dropout(input, p: float, train: bool):
    """Zero elements with probability ``p`` and scale the others by ``1 / (1 - p)``, if ``train``."""
    _check_dropout("dropout", input, train)
    return _dropped(input, p, train, False, False)


@composite(name="dropout_")
def dropout_(input, p: float, train: bool):
    """``dropout`` that overwrites its input."""
    _check_dropout("dropout_", input, train)
    return _dropped(input, p, train, False, True)


@composite
def feature_dropout(input, p: float, train: bool):
    """Dropout of whole channels (dimension 1) of each sample."""
    _check_dropout("feature_dropout", input, train)
    return _dropped(input, p, train, True, False)


@composite(name="feature_dropout_")
def feature_dropout_(input, p: float, train: bool):
    """``feature_dropout`` that overwrites its input."""
    _check_dropout("feature_dropout_", input, train)
    return _dropped(input, p, train, True, True)


@composite
def alpha_dropout(input, p: float, train: bool):
    """Dropout that keeps zero mean and unit variance; made for SELU."""
    _check_dropout("alpha_dropout", input, train)
    return _alpha_dropped(input, p, train, False, False)


@composite(name="alpha_dropout_")
def alpha_dropout_(input, p: float, train: bool):
    """``alpha_dropout`` that overwrites its input."""
    _check_dropout("alpha_dropout_", input, train)
    return _alpha_dropped(input, p, train, False, True)


@composite
def feature_alpha_dropout(input, p: float, train: bool):
    """Alpha dropout of whole channels (dimension 1) of each sample."""
    _check_dropout("feature_alpha_dropout", input, train)
    return _alpha_dropped(input, p, train, True, False)


@composite(name="feature_alpha_dropout_")
def feature_alpha_dropout_(input, p: float, train: bool):
    """``feature_alpha_dropout`` that overwrites its input."""
    _check_dropout("feature_alpha_dropout_", input, train)
    return _alpha_dropped(input, p, train, True, True)


# ---------------------------------------------------------------- distances


@composite
def pairwise_distance(x1, x2, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False):
    """The p-norm of ``x1 - x2 + eps`` over the last dimension."""
    return torch.norm(x1 - x2 + eps, p, max(x1.dim(), x2.dim()) - 1, keepdim)


@composite
def pdist(input, p: float = 2.0):
    """The p-norm distances between all pairs of rows of (N, M) input, N (N - 1) / 2 numbers in order."""
    if input.dim() != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.dim()}D")
    if not input.dtype.is_floating_point:
        raise RuntimeError("pdist only supports floating-point dtypes")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    first, second = torch.triu_indices(input.size(0), input.size(0), 1, device=input.device)
    if p == 0:  # how many differ, where nan differs by nan
        return (input[first] - input[second]).abs().ceil().clamp_max(1).sum(1)
    return torch.linalg.vector_norm(input[first] - input[second], p, 1)


@composite
def cosine_similarity(x1, x2, dim: int = 1, eps: float = 1e-8):
    """``x1 . x2 / (max(|x1|, eps) * max(|x2|, eps))`` along ``dim``, with broadcasting."""
    dtype = torch.result_type(x1, x2)
    if not dtype.is_floating_point:
        raise RuntimeError(f"expected common dtype to be floating point, yet common dtype is {dtype.label}")
    x1, x2 = torch.broadcast_tensors(x1.to(dtype), x2.to(dtype))
    return (_unit(x1, dim, eps) * _unit(x2, dim, eps)).sum(dim)


def _unit(x, dim: int, eps: float):
    norm = torch.linalg.vector_norm(x, 2, dim, keepdim=True)
    with torch.no_grad():
        raised = norm.clamp_min(eps) - norm
    return x / (norm + raised)  # the derivative ignores the clamp


@composite
def bilinear(input1, input2, weight, bias=None):
    """``out[..., k] = input1 @ weight[k] @ input2 + bias[k]`` for (..., I), (..., J) and (K, I, J)."""
    _check_bilinear(input1, input2, weight, bias)
    k, i, j = weight.shape
    n = math.prod(input1.shape[:-1])
    left = input1.reshape(n, i) @ weight.permute(1, 0, 2).reshape(i, k * j)
    out = (left.view(n, k, j) @ input2.reshape(n, j, 1)).view(*input1.shape[:-1], k)
    return out if bias is None else out + bias


def _check_bilinear(input1, input2, weight, bias) -> None:
    if weight.dim() != 3:
        raise RuntimeError(f"bilinear(): weight must be 3-dimensional, got {weight.dim()}")
    if input1.dim() != input2.dim():
        raise RuntimeError(
            f"bilinear(): input dimensions do not match: got {input1.dim()} and {input2.dim()}"
        )
    for d in range(input1.dim() - 1):
        if input1.size(d) != input2.size(d):
            raise RuntimeError(
                f"bilinear(): input batch dimensions do not match at dim {d}: "
                f"got {input1.size(d)} and {input2.size(d)}"
            )
    for n, (x, axis) in enumerate(((input1, 1), (input2, 2)), 1):
        if x.size(-1) != weight.size(axis):
            raise RuntimeError(
                f"bilinear(): input{n} size does not match weight size: got {x.size(-1)} but "
                f"expected {weight.size(axis)}"
            )
    if bias is not None and bias.size(0) != weight.size(0):
        raise RuntimeError(
            f"bilinear(): bias size does not match weight size: got {bias.size(0)} but expected {weight.size(0)}"
        )


# ---------------------------------------------------------------- rearrangements of channels


def _copied(x):
    return x.clone(memory_format=torch.contiguous_format)


@composite
def pixel_shuffle(input, upscale_factor: int):
    """Rearrange (*, C r^2, H, W) to (*, C, H r, W r), r being ``upscale_factor``."""
    r = need_int("pixel_shuffle", "upscale_factor", 2, upscale_factor)
    if input.dim() < 3:
        raise RuntimeError(
            f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {input.dim()} dimension(s)"
        )
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    *batch, c, h, w = input.shape
    if c % (r * r) != 0:
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of "
            f"upscale_factor, but input.size(-3)={c} is not divisible by {r * r}"
        )
    split = input.reshape(*batch, c // (r * r), r, r, h, w)
    n = len(batch)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return like_channels(_copied(split.permute(order)).view(*batch, c // (r * r), h * r, w * r), input)


@composite
def pixel_unshuffle(input, downscale_factor: int):
    """Rearrange (*, C, H r, W r) to (*, C r^2, H, W), r being ``downscale_factor``."""
    r = need_int("pixel_unshuffle", "downscale_factor", 2, downscale_factor)
    if input.dim() < 3:
        raise RuntimeError(
            f"pixel_unshuffle expects input to have at least 3 dimensions, but got input with {input.dim()} "
            "dimension(s)"
        )
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    *batch, c, h, w = input.shape
    for name, size in (("height", h), ("width", w)):
        if size % r != 0:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but "
                f"input.size({-2 if name == 'height' else -1})={size} is not divisible by {r}"
            )
    split = input.reshape(*batch, c, h // r, r, w // r, r)
    n = len(batch)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return like_channels(_copied(split.permute(order)).view(*batch, c * r * r, h // r, w // r), input)


@composite
def channel_shuffle(input, groups: int):
    """Interleave ``groups`` groups of the channels of (N, C, *) input."""
    groups = need_int("channel_shuffle", "groups", 2, groups)
    if input.dim() < 3:
        raise RuntimeError(
            "channel_shuffle expects input with > 2 dims, but got input with sizes " + str(list(input.shape))
        )
    c = input.size(1)
    if groups <= 0:
        raise RuntimeError(
            f"Number of groups to divide channels in must be positive. Value of groups:{groups}"
        )
    if c % groups != 0:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {c} channels and {groups} groups."
        )
    n = input.size(0)
    split = input.reshape(n, groups, c // groups, *input.shape[2:])
    return like_channels(_copied(split.transpose(1, 2)).view(input.shape), input)


@composite
def native_channel_shuffle(input, groups: int):
    """The same as ``channel_shuffle``."""
    need_int("native_channel_shuffle", "groups", 2, groups)
    return channel_shuffle(input, groups)


# ---------------------------------------------------------------- losses whose reduction is an integer code


def _loss(name: str):
    """The loss of ``nn.functional``; it is loaded with the layers, on first use."""
    return getattr(torch.nn.functional, name)


def _named(name: str, position: int, reduction: int) -> str:
    """The name of an integer code; codes that PyTorch does not know mean no reduction."""
    return {1: "mean", 2: "sum"}.get(need_int(name, "reduction", position, reduction), "none")


# PyTorch's parser does not know the word that three of these have as default, and so reduces nothing there.

@composite
def binary_cross_entropy_with_logits(input, target, weight=None, pos_weight=None, reduction: int = 0):
    """The binary cross entropy of ``sigmoid(input)``; reduction 0 none, 1 mean, 2 sum."""
    reduced = _named("binary_cross_entropy_with_logits", 5, reduction)
    if input.shape != target.shape:
        input, target = torch.broadcast_tensors(input, target)
    function = _loss("binary_cross_entropy_with_logits")
    return function(input, target, weight, reduction=reduced, pos_weight=pos_weight)


@composite
def cosine_embedding_loss(input1, input2, target, margin: float = 0.0, reduction: int = 1):
    """``1 - cos`` where the target is 1, ``max(0, cos - margin)`` where it is -1."""
    reduced = _named("cosine_embedding_loss", 5, reduction)
    return _loss("cosine_embedding_loss")(input1, input2, target, margin, reduction=reduced)


def _reduced(loss, reduction: str):
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()


@composite
def hinge_embedding_loss(input, target, margin: float = 1.0, reduction: int = 1):
    """``input`` where the target is 1, ``max(0, margin - input)`` where it is -1."""
    return _loss("hinge_embedding_loss")(input, target, margin, reduction=_named("hinge_embedding_loss", 4, reduction))


@composite
def kl_div(input, target, reduction: int = 0, *, log_target: bool = False):
    """``target * (log(target) - input)``."""
    reduced = _named("kl_div", 3, reduction)
    return _reduced(_loss("kl_div")(input, target, reduction="none", log_target=log_target), reduced)


@composite
def margin_ranking_loss(input1, input2, target, margin: float = 0.0, reduction: int = 1):
    """``max(0, margin - target * (input1 - input2))``."""
    reduced = _named("margin_ranking_loss", 5, reduction)
    return _reduced((-target * (input1 - input2) + margin).clamp_min(0), reduced)


@composite
def poisson_nll_loss(input, target, log_input: bool, full: bool, eps: float, reduction: int):
    """The negative log likelihood of Poisson counts."""
    need_bool("poisson_nll_loss", "log_input", 3, log_input)
    need_bool("poisson_nll_loss", "full", 4, full)
    reduced = _named("poisson_nll_loss", 6, reduction)
    return _loss("poisson_nll_loss")(input, target, log_input, full, eps=eps, reduction=reduced)


@composite
def triplet_margin_loss(
    anchor,
    positive,
    negative,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: int = 0,
):
    """``max(0, margin + |anchor - positive| - |anchor - negative|)``."""
    reduced = _named("triplet_margin_loss", 8, reduction)
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = torch.minimum(far, pairwise_distance(positive, negative, p, eps))
    return _reduced((margin + near - far).clamp_min(0), reduced)


# ---------------------------------------------------------------- pooling and norms under their names in torch


def _pooling(name: str, with_indices: str | None = None):
    """The pooling of ``nn.functional`` as PyTorch also names it in ``torch``, without what only the layers add."""

    def pool(input, *args, **kwargs):
        return getattr(torch.nn.functional, with_indices or name)(input, *args, **kwargs)

    pool.__name__ = pool.__qualname__ = name
    pool.__doc__ = f"See ``torch.nn.functional.{name}``{' (with the indices)' if with_indices else ''}."
    return composite(pool)


for _name, _indices in (
    ("avg_pool1d", None), ("adaptive_avg_pool1d", None), ("max_pool1d", None), ("max_pool2d", None),
    ("max_pool3d", None), ("adaptive_max_pool1d", "adaptive_max_pool1d_with_indices"),
    ("max_pool1d_with_indices", "max_pool1d_with_indices"),
):  # fmt: skip
    _pooling(_name, _indices)
