"""Ops that on the device are made of other ops: functions of tensors, run without recording on the kernel's arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch import devices, dtypes
from flowtorch.array.cuda import to_device
from flowtorch.array.tensortype import tensor_type
from flowtorch.autograd.mode import no_grad
from flowtorch.ops.cuda.base import KERNELS
from flowtorch.ops.op import REGISTRY
from flowtorch.tensor import Tensor, wrap

_DEVICE = devices.device("cuda", 0)


def composed(name: str) -> Callable:
    """Decorator: the device kernel of the op ``name``, given as a function of tensors."""
    op = REGISTRY[name]

    def register(f: Callable) -> Callable:
        def kernel(*args: Any, **kwargs: Any) -> Any:
            given = [on_device(a) if i in op.tensor_index else a for i, a in enumerate(args)]
            with no_grad():
                result = f(*given, **kwargs)
            return tuple(t._array for t in result) if isinstance(result, tuple) else result._array

        KERNELS[name] = kernel
        return f

    return register


def on_device(array: Any) -> Any:
    """A tensor around a device array; lists of them, and None, as they are."""
    if array is None:
        return None
    if isinstance(array, (list, tuple)):
        return [on_device(a) for a in array]
    return wrap(array, tensor_type(dtypes.from_numpy_dtype(array.dtype), _DEVICE))


def moved(array: np.ndarray) -> Tensor:
    """A host array as a tensor on the device."""
    return on_device(to_device(np.ascontiguousarray(array)))


def public(name: str) -> Callable:
    return REGISTRY[name].public


# ---------------------------------------------------------------- recurrent layers

@composed("lstm_layer")
def lstm_layer(input, h0, c0, w_hh, w_ih=None, bias=None, w_hr=None, batch_sizes=(), reverse=False):
    from flowtorch.functional_recurrent import steps

    found = steps("lstm", input, h0, c0, w_hh, w_ih, bias, w_hr, batch_sizes=batch_sizes, reverse=reverse)
    return *found, *[found[0][:0]] * 3


@composed("gru_layer")
def gru_layer(input, h0, w_hh, w_ih=None, b_ih=None, b_hh=None, batch_sizes=(), reverse=False):
    from flowtorch.functional_recurrent import steps

    found = steps("gru", input, h0, w_hh, w_ih, b_ih, b_hh, batch_sizes=batch_sizes, reverse=reverse)
    return *found, *[found[0][:0]] * 2


@composed("rnn_layer")
def rnn_layer(input, h0, w_hh, w_ih=None, bias=None, batch_sizes=(), reverse=False, relu=False):
    from flowtorch.functional_recurrent import steps

    kind = "rnn_relu" if relu else "rnn_tanh"
    return steps(kind, input, h0, w_hh, w_ih, bias, batch_sizes=batch_sizes, reverse=reverse)


# ---------------------------------------------------------------- distances, local norms, a classifier's loss

@composed("_cdist")
def cdist(x1, x2, p, product):
    if product:
        square = (x1 * x1).sum(-1).unsqueeze(-1) + (x2 * x2).sum(-1).unsqueeze(-2) - 2 * (x1 @ x2.transpose(-2, -1))
        return square.clamp(min=0).sqrt()
    size = (x1.unsqueeze(-2) - x2.unsqueeze(-3)).abs()
    if p == 0:
        return (size != 0).sum(-1).to(x1.dtype)
    if p == 1:
        return size.sum(-1)
    if p == 2:
        return (size * size).sum(-1).sqrt()
    if math.isinf(p):
        return size.amax(-1) if size.shape[-1] else size.sum(-1)
    return size.pow(p).sum(-1).pow(1 / p)


def _mix(window: np.ndarray, values: Any) -> Any:
    matrix = moved(window.astype(np.float32)).to(values.dtype)
    return (matrix @ values.flatten(2)).view(values.shape)


def _lrn_scale(input, size, alpha, k):
    from flowtorch.ops import channel_norm

    reach = int((size - 1) / 2 + 1)
    offset = channel_norm._offsets(input.shape[1])
    window = (offset < reach) & ((offset > -reach) | (np.arange(input.shape[1]) == 0))
    return _mix(window, input * input) * (alpha / size) + k


@composed("cross_map_lrn")
def cross_map_lrn(input, size, alpha=1e-4, beta=0.75, k=1.0):
    return input * _lrn_scale(input, size, alpha, k).pow(-beta)


@composed("cross_map_lrn_backward")
def cross_map_lrn_backward(grad, input, size, alpha, beta, k):
    from flowtorch.ops import channel_norm

    scale = _lrn_scale(input, size, alpha, k)
    before = int(size - (size - 1) / 2)
    offset = channel_norm._offsets(input.shape[1])
    window = (offset >= -before) & (offset < size - before)
    ratio = _mix(window, grad * input * scale.pow(-beta - 1))
    return scale.pow(-beta) * grad - (2 * alpha * beta / size) * input * ratio


@composed("linear_cross_entropy")
def linear_cross_entropy(input, weight, target, bias=None, class_weight=None, ignore_index=-100, rows=1):
    from flowtorch.nn import functional as F

    parts = [
        F.cross_entropy(F.linear(input[start : start + rows], weight, bias), target[start : start + rows], class_weight,
                        ignore_index=ignore_index, reduction="none")
        for start in range(0, len(input), rows)
    ]  # fmt: skip
    return public("cat")(parts) if parts else input.new_zeros(0)


# ---------------------------------------------------------------- connectionist temporal classification

def _ctc(log_probs, targets, input_lengths, target_lengths, blank):
    """Scores (T, N, S) of the extended labels, where a state may skip its neighbour, and the lengths as tensors."""
    from flowtorch.ops import ctc

    states, skip = ctc._extend(targets, blank)
    at = moved(states)
    scores = log_probs.gather(2, at.unsqueeze(0).expand(len(log_probs), *at.shape))
    beyond = np.arange(states.shape[1])[None, :] > 2 * target_lengths[:, None]
    scores = scores.masked_fill(moved(beyond), -math.inf)
    return scores, at, moved(skip)


def _logaddexp3(a, b, c):
    return public("logaddexp")(public("logaddexp")(a, b), c)


def _shifted(x, by):
    pad = public("constant_pad_nd")
    return pad(x, [by, -by], -math.inf)


def _ctc_alpha(scores, skip, input_lengths, target_lengths):
    first = np.arange(scores.shape[2])[None, :] >= 2
    alpha = [scores[0].masked_fill(moved(np.broadcast_to(first, tuple(scores.shape[1:]))), -math.inf)]
    for t in range(1, len(scores)):
        before = alpha[-1]
        jump = _shifted(before, 2).masked_fill(~skip, -math.inf)
        alpha.append(_logaddexp3(before, _shifted(before, 1), jump) + scores[t])
    stacked = public("stack")(alpha)
    last = moved(np.maximum(np.asarray(input_lengths) - 1, 0))
    ends = stacked.transpose(0, 1)[moved(np.arange(len(last))), last]
    final = moved(2 * np.asarray(target_lengths)).unsqueeze(1)
    one = ends.gather(1, final)
    two = ends.gather(1, (final - 1).clamp(min=0)).masked_fill(final == 0, -math.inf)
    likelihood = public("logaddexp")(one, two).squeeze(1)
    return stacked, likelihood


@composed("_ctc_loss")
def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, zero_infinity):
    scores, _, skip = _ctc(log_probs, targets, input_lengths, target_lengths, blank)
    loss = -_ctc_alpha(scores, skip, input_lengths, target_lengths)[1]
    return loss.masked_fill(loss.isinf(), 0) if zero_infinity else loss


@composed("_ctc_loss_backward")
def ctc_loss_backward(grad, log_probs, targets, input_lengths, target_lengths, blank, zero_infinity):
    scores, at, skip = _ctc(log_probs, targets, input_lengths, target_lengths, blank)
    alpha, likelihood = _ctc_alpha(scores, skip, input_lengths, target_lengths)
    steps, number, width = scores.shape
    ends = np.full((steps, number, width), -np.inf)
    for n in range(number):
        for s in {2 * int(target_lengths[n]), max(2 * int(target_lengths[n]) - 1, 0)}:
            ends[max(int(input_lengths[n]) - 1, 0), n, s] = 0
    ends = moved(ends).to(scores.dtype)
    ahead = public("constant_pad_nd")(skip, [-2, 2], False)
    beta = [None] * steps
    after = scores.new_full(tuple(scores.shape[1:]), -math.inf)
    for t in range(steps - 1, -1, -1):
        jump = _shifted(after, -2).masked_fill(~ahead, -math.inf)
        reached = _logaddexp3(after, _shifted(after, -1), jump)
        beta[t] = after = public("logaddexp")(reached, ends[t]) + scores[t]
    share = (alpha + public("stack")(beta) - scores - likelihood.unsqueeze(1)).exp()
    share = share.masked_fill(scores == -math.inf, 0)
    occupied = log_probs.new_zeros(log_probs.shape).scatter_add(2, at.unsqueeze(0).expand(share.shape), share)
    result = log_probs.exp() - occupied
    lost = (likelihood == -math.inf).view(1, -1, 1)
    result = result.masked_fill(lost, 0 if zero_infinity else math.nan)
    late = np.arange(steps)[:, None] >= np.asarray(input_lengths)[None, :]
    result = result.masked_fill(moved(late).unsqueeze(2), 0) * grad.view(1, -1, 1)
    return result.masked_fill(lost, 0) if zero_infinity else result
