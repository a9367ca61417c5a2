"""Batching rules of neural-network ops: convolutions, pooling, normalisation, losses, attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.func.batched import Call, rule
from flowtorch.func.rules_pointwise import align, aligned
from flowtorch.ops.op import REGISTRY
from flowtorch.tensor import Tensor


def fold(t: Any, at: int) -> Any:
    """The batch dimension merged into dimension ``at`` of the examples."""
    return t.movedim(0, at).flatten(at, at + 1)


def unfold(t: Any, at: int, size: int) -> Any:
    """The inverse of ``fold``."""
    return t.unflatten(at, (size, -1)).movedim(at, 0)


# ---------------------------------------------------------------- convolution


@rule("convolution")
def convolution(call: Call) -> Any:
    """Batches of inputs are more samples, batches of weights are more groups."""
    values, names = list(call.values), call.op.names
    bias, at = values[2], names.index("groups")
    has_input, has_weight, has_bias = call.flags[:3]
    shape = (-1, *(1,) * (call.rank(0) - 2))
    if not has_weight:
        if has_bias:
            values[2] = None
        values[0] = fold(values[0], 0) if has_input else values[0]
        out = call.run(values)
        out = unfold(out, 0, call.size) if has_input else out.unsqueeze(0)
        return out + bias.reshape(call.size, 1, *shape) if has_bias else out.expand(call.size, *out.shape[1:])
    values[2] = None
    values[0] = fold(call.full(0), 1)
    values[1] = fold(values[1], 0)
    values[at] *= call.size
    out = unfold(call.run(values), 1, call.size)
    if bias is None:
        return out
    return out + (bias.reshape(call.size, 1, *shape) if has_bias else bias.reshape(1, 1, *shape))


@rule("convolution_input")
def convolution_input(call: Call) -> Any:
    values, at = list(call.values), call.op.names.index("groups")
    if not call.flags[1]:
        values[0] = fold(values[0], 0)
        return unfold(call.run(values), 0, call.size)
    values[0], values[1] = fold(call.full(0), 1), fold(values[1], 0)
    values[at] *= call.size
    return unfold(call.run(values), 1, call.size)


@rule("convolution_weight")
def convolution_weight(call: Call) -> Any:
    values, at = list(call.values), call.op.names.index("groups")
    values[0], values[1] = fold(call.full(0), 1), fold(call.full(1), 1)
    values[at] *= call.size
    return unfold(call.run(values), 0, call.size)


@rule(
    "_max_pool",
    "_avg_pool",
    "_adaptive_avg_pool",
    "_adaptive_avg_pool_backward",
    "_avg_pool_backward",
    "_window_max",
    "im2col",
    "col2im",
    "cross_map_lrn",
    "cross_map_lrn_backward",
    "resample",
    "resample_bytes",
)
def samples(call: Call) -> Any:
    """Ops of (N, ...) that treat every sample alike."""
    values = list(call.values)
    for i in call.op.tensor_index:
        values[i] = fold(call.full(i), 0)
    result = call.run(values)
    if isinstance(result, Tensor):
        return unfold(result, 0, call.size)
    return tuple(unfold(r, 0, call.size) for r in result)


@rule("resample_adjoint")
def resample_adjoint(call: Call) -> Any:
    input, shape, plan = call.values
    result = call.run([fold(input, 0), (call.size * shape[0], *shape[1:]), plan])
    return unfold(result, 0, call.size)


# ---------------------------------------------------------------- normalisation


@rule("_layer_norm")
def layer_norm(call: Call) -> Any:
    _input, _weight, _bias, count, eps = call.values
    if call.flags[0] and not call.flags[1] and not call.flags[2]:
        return call.run()
    shape = call.logical[0].shape
    lead = call.rank(0)
    while lead and shape[lead:].numel() < count:
        lead -= 1
    rows = call.full(0).reshape(call.size, *shape[:lead], count)
    normal = REGISTRY["_standardize"].public(rows, (rows.dim() - 1,), eps)[0]
    for i, combine in ((1, "mul"), (2, "add")):
        p = call.values[i]
        if p is not None:
            p = align(p.reshape(call.size, count), normal.dim() - 1) if call.flags[i] else p.reshape(count)
            normal = REGISTRY[combine].public(normal, p)
    return normal.reshape(call.size, *shape)


@rule("_layer_norm_adjoint")
def layer_norm_adjoint(call: Call) -> Any:
    _grad, _input, weight, count, eps, affine = call.values
    shape = call.logical[1].shape
    g, x = (call.full(i).reshape(call.size, -1, count) for i in (0, 1))
    normal = REGISTRY["_standardize"].public(x, (2,), eps)[0]
    if affine:
        dw, db = (g * normal.conj()).sum(1), g.sum(1)
    else:
        dw = db = g.new_zeros((call.size, 0))
    if weight is not None:
        w = weight.reshape(call.size, 1, count) if call.flags[2] else weight.reshape(count)
        g = g * w.conj()
    dx = REGISTRY["_standardize_adjoint"].public(g, x, (2,), eps)
    return dx.reshape(call.size, *shape), dw, db


@rule("_batch_norm", "_batch_norm_adjoint")
def batch_norm(call: Call) -> Any:
    """Each example's channels beside the others': (B, N, C, *) as (N, B * C, *)."""
    values = list(call.values)
    for i, name in zip(call.op.tensor_index, call.op.tensors, strict=True):
        if values[i] is not None:
            values[i] = fold(call.full(i), 1 if name in ("input", "grad") else 0)
    out, *channels = call.run(values)
    return unfold(out, 1, call.size), *(unfold(c, 0, call.size) for c in channels)


# ---------------------------------------------------------------- losses


def _places(call: Call, input: Any, target: Any, weight: Any, ignore_index: int) -> tuple:
    """(safe class indices, weight of every place) of a batch of (N, C, *) and (N, *)."""
    ignored = target == ignore_index
    safe = target.masked_fill(ignored, 0)
    if weight is None:
        w = (~ignored).to(input.dtype)
    else:
        weight = weight.detach()  # no derivative in it
        w = weight[safe] if not call.flags[2] else weight.gather(1, safe.flatten(1)).reshape(safe.shape)
        w = w.masked_fill(ignored, 0)
    return safe, w


def _reduce(losses: Any, w: Any, reduction: str) -> Any:
    if reduction == "none":
        return losses
    total = losses.flatten(1).sum(1)
    return total / w.flatten(1).sum(1) if reduction == "mean" else total


def _nll(call: Call, logs: Any, target: Any, weight: Any, reduction: str, ignore_index: int) -> tuple:
    safe, w = _places(call, logs, target, weight, ignore_index)
    picked = logs.gather(2, safe.unsqueeze(2)).squeeze(2)
    losses = (-picked * w).masked_fill(w == 0, 0)
    return _reduce(losses, w, reduction), w.flatten(1).sum(1)


@rule("_nll_loss")
def nll_loss(call: Call) -> Any:
    _, _, weight, reduction, ignore_index = call.values
    return _nll(call, call.full(0), call.full(1), weight, reduction, ignore_index)


@rule("_cross_entropy")
def cross_entropy(call: Call) -> Any:
    _, _, weight, reduction, ignore_index = call.values
    logs = REGISTRY["_log_softmax"].public(call.full(0), 2)
    return _nll(call, logs, call.full(1), weight, reduction, ignore_index)[0]


@rule("_nll_loss_backward")
def nll_loss_backward(call: Call) -> Any:
    _, _, weight, _total, shape, reduction, ignore_index = call.values
    grad, target = call.full(0), call.full(1)
    safe, w = _places(call, grad, target, weight, ignore_index)
    if reduction == "mean":
        grad = grad / call.full(3)
    value = -w * (grad if reduction == "none" else grad.reshape(call.size, *(1,) * (target.dim() - 1)))
    zeros = grad.new_zeros((call.size, *shape))
    return zeros.scatter(2, safe.unsqueeze(2), value.masked_fill(w == 0, 0).unsqueeze(2))


@rule("_cross_entropy_backward")
def cross_entropy_backward(call: Call) -> Any:
    _, _, _, weight, reduction, ignore_index = call.values
    grad, input, target = (call.full(i) for i in range(3))
    ignored = target == ignore_index
    safe = target.masked_fill(ignored, 0)
    if weight is None:
        w = (~ignored).to(input.dtype)
    else:
        w = weight.gather(1, safe.flatten(1)).reshape(safe.shape) if call.flags[3] else weight[safe]
        w = w.masked_fill(ignored, 0)
    if reduction != "none":
        grad = grad.reshape(call.size, *(1,) * (target.dim() - 1))
    scale = grad * w
    if reduction == "mean":
        scale = scale / w.flatten(1).sum(1).reshape(call.size, *(1,) * (target.dim() - 1))
    slope = REGISTRY["_softmax"].public(input, 2)
    slope = slope.scatter_add(2, safe.unsqueeze(2), slope.new_full((), -1.0).expand(safe.unsqueeze(2).shape))
    return (slope * scale.unsqueeze(2)).masked_fill((w == 0).unsqueeze(2), 0)


@rule("_mse_loss")
def mse_loss(call: Call) -> Any:
    input, target, reduction = aligned(call, (0, 1), (0, 1))
    losses = (input - target).square()
    if reduction == "none":
        return losses
    return _rows(losses).sum(1) if reduction == "sum" else _rows(losses).mean(1)


def _rows(losses: Any) -> Any:
    """A row for each example."""
    return losses.reshape(losses.shape[0], -1)


# ---------------------------------------------------------------- attention


@rule("attention")
def attention(call: Call) -> Any:
    _query, _key, _value, mask, *rest = call.values
    rank = max(call.rank(i) for i in range(3))
    values: list = [align(call.values[i], rank) if call.flags[i] else call.values[i] for i in range(3)]
    if mask is not None and call.flags[3]:
        mask = align(mask, rank)
    if not any(call.flags[:3]):
        values[0] = call.full(0)
    shape = (call.size, *np.broadcast_shapes(*[tuple(call.logical[i].shape[:-2]) for i in range(3)]))
    values = [v.expand(*shape, *v.shape[-2:]) for v in values]
    return call.run([*values, mask, *rest])


@rule("_attention_dropped")
def attention_dropped(call: Call) -> Any:
    """Each example drops its own."""
    return call.run()


@rule("attention_adjoint")
def attention_adjoint(call: Call) -> Any:
    rank = max(call.rank(i) for i in range(6))
    values = [align(call.full(i), rank) if i < 6 else v for i, v in enumerate(call.values)]
    if values[6] is not None and call.flags[6]:
        values[6] = align(values[6], rank)
    return call.run(values)
