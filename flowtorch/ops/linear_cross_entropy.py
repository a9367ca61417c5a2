"""Cross entropy of a linear layer's output, a slice of the batch at a time, so that all logits never exist at once."""

from __future__ import annotations

import numpy as np

from flowtorch.ops.families import op
from flowtorch.ops.second_order import by_hand, gradients_of
from flowtorch.tensor import wrap


def _slices(total: int, rows: int):
    return [slice(start, start + rows) for start in range(0, total, rows)]


def _logits(input, weight, bias):
    logits = input @ weight.T
    return logits if bias is None else logits + bias


def _factors(target, class_weight, ignore_index, dtype):
    """The weight of every sample (zero if it is ignored), and targets that are valid indices."""
    ignored = target == ignore_index
    safe = np.where(ignored, 0, target)
    factor = np.ones(len(target), dtype) if class_weight is None else class_weight[safe].astype(dtype)
    factor[ignored] = 0
    return factor, safe


@op(
    name="linear_cross_entropy",
    tensors=("input", "weight", "target", "bias", "class_weight"),
    namespace="_nn",
    method=False,
    out=False,
    node="LinearCrossEntropyBackward0",
)
def linear_cross_entropy(input, weight, target, bias=None, class_weight=None, ignore_index=-100, rows=1):
    """The loss of each sample of (N, K) ``input`` under the classifier ``weight`` (C, K), in slices of ``rows``."""
    classes = len(weight)
    if target.size and (((target < 0) | (target >= classes)) & (target != ignore_index)).any():
        bad = target[((target < 0) | (target >= classes)) & (target != ignore_index)][0]
        raise IndexError(f"Target {bad} is out of bounds.")
    factor, safe = _factors(target, class_weight, ignore_index, input.dtype)
    losses = np.empty(len(input), input.dtype)
    for part in _slices(len(input), rows):
        logits = _logits(input[part], weight, bias)
        highest = logits.max(1)
        chosen = logits[np.arange(len(logits)), safe[part]]
        logits -= highest[:, None]
        losses[part] = np.log(np.exp(logits, logits).sum(1)) + highest - chosen
    return losses * factor


@linear_cross_entropy.derivative
def _gradient(g, input, weight, target, bias, class_weight, ignore_index, rows, needs):
    if not by_hand(g, input, weight, bias, target, class_weight):
        return _composite(g, (input, weight, bias), target, class_weight, ignore_index, (*needs[:2], needs[3]))
    x, w = input._array, weight._array
    b = None if bias is None else bias._array
    factor, safe = _factors(target._array, None if class_weight is None else class_weight._array, ignore_index, x.dtype)
    factor = factor * g._array
    dx, dw = np.empty_like(x), np.zeros_like(w)
    db = None if b is None else np.zeros_like(b)
    for part in _slices(len(x), rows):
        p = _logits(x[part], w, b)
        p -= p.max(1, keepdims=True)
        np.exp(p, p)
        p /= p.sum(1, keepdims=True)
        p[np.arange(len(p)), safe[part]] -= 1
        p *= factor[part, None]
        dx[part] = p @ w
        dw += p.T @ x[part]
        if db is not None:
            db += p.sum(0)
    return wrap(dx), wrap(dw), None, None if db is None else wrap(db), None


def _composite(g, inputs, target, class_weight, ignore_index, needs):
    from flowtorch.nn import functional as F

    def loss(*aliases):
        logits = F.linear(*aliases)
        return (F.cross_entropy(logits, target, class_weight, ignore_index=ignore_index, reduction="none"),)

    dx, dw, db = gradients_of(loss, [g], inputs, needs)
    return dx, dw, None, db, None
