"""Connectionist temporal classification: the likelihood of labels summed over all alignments with the input.

Graves et al., "Connectionist temporal classification", 2006. Labels are extended to blank, l1, blank, l2, ..., blank;
``alpha`` sums the paths up to a step and state, ``beta`` those from there to the end, both as logarithms.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.ops.families import op
from flowtorch.ops.op import composite
from flowtorch.tensor import Tensor, wrap


def _extend(targets: np.ndarray, blank: int) -> tuple:
    """(N, 2 S + 1) states, and which of them may be entered from two states before."""
    n, s = targets.shape
    states = np.full((n, 2 * s + 1), blank, np.int64)
    states[:, 1::2] = targets
    skip = np.zeros(states.shape, bool)
    skip[:, 3::2] = targets[:, 1:] != targets[:, :-1]
    return states, skip


def _from_before(a: np.ndarray, skip: np.ndarray) -> np.ndarray:
    """Logarithm of the sum over the states that may come before each state."""
    one = np.full_like(a, -np.inf)
    one[:, 1:] = a[:, :-1]
    two = np.full_like(a, -np.inf)
    two[:, 2:] = a[:, :-2]
    two[~skip] = -np.inf
    return np.logaddexp(np.logaddexp(a, one), two)


def _forward(scores: np.ndarray, skip: np.ndarray, input_lengths: np.ndarray, target_lengths: np.ndarray) -> tuple:
    """alpha (T, N, states) and the log likelihood of each sample."""
    steps, n, _ = scores.shape
    alpha = np.full_like(scores, -np.inf)
    rows = np.arange(n)
    last = 2 * target_lengths
    likelihood = np.where((input_lengths == 0) & (target_lengths == 0), 0.0, -np.inf).astype(scores.dtype)
    for t in range(steps):
        if t == 0:
            alpha[0, :, 0] = scores[0, :, 0]
            labelled = target_lengths > 0
            alpha[0, labelled, 1:2] = scores[0, labelled, 1:2]
        else:
            alpha[t] = _from_before(alpha[t - 1], skip) + scores[t]
        ends = input_lengths == t + 1
        if ends.any():
            before = np.where(last > 0, alpha[t, rows, np.maximum(last - 1, 0)], -np.inf)
            likelihood[ends] = np.logaddexp(alpha[t, rows, last], before)[ends]
    return alpha, likelihood


def _backward(
    scores: np.ndarray, skip: np.ndarray, input_lengths: np.ndarray, target_lengths: np.ndarray
) -> np.ndarray:
    """beta (T, N, states), the step's own score included."""
    steps, n, states = scores.shape
    beta = np.full_like(scores, -np.inf)
    rows = np.arange(n)
    last = 2 * target_lengths
    leaves = np.zeros((n, states), bool)  # states that may be left for two states further
    leaves[:, :-2] = skip[:, 2:]
    for t in range(steps - 1, -1, -1):
        if t + 1 < steps:
            beta[t] = _from_before(beta[t + 1][:, ::-1], leaves[:, ::-1])[:, ::-1] + scores[t]
        ends = input_lengths == t + 1
        if ends.any():
            beta[t, ends] = -np.inf
            beta[t, rows[ends], last[ends]] = scores[t, rows[ends], last[ends]]
            some = ends & (last > 0)
            beta[t, rows[some], last[some] - 1] = scores[t, rows[some], last[some] - 1]
    return beta


def _scores(log_probs: np.ndarray, states: np.ndarray, target_lengths: np.ndarray) -> np.ndarray:
    """(T, N, states) log probabilities of the states; states behind a sample's last are impossible."""
    scores = np.take_along_axis(log_probs, np.broadcast_to(states, (len(log_probs), *states.shape)), 2)
    scores[:, np.arange(states.shape[1])[None, :] > 2 * target_lengths[:, None]] = -np.inf
    return scores


@op(
    name="_ctc_loss",
    tensors=("log_probs",),
    namespace="_nn",
    method=False,
    out=False,
    node="CtcLossBackward0",
    vjp=(
        lambda g, log_probs, targets, input_lengths, target_lengths, blank, zero_infinity: _ctc_loss_backward(  # type: ignore[has-type]
            g, log_probs, targets, input_lengths, target_lengths, blank, zero_infinity
        ),
    ),
)
def _ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, zero_infinity):
    """The negative log likelihood of every sample; ``targets`` (N, S) and lengths are numpy arrays."""
    states, skip = _extend(targets, blank)
    loss = -_forward(_scores(log_probs, states, target_lengths), skip, input_lengths, target_lengths)[1]
    return np.where(np.isinf(loss), 0, loss).astype(log_probs.dtype) if zero_infinity else loss


@op(name="_ctc_loss_backward", tensors=("grad", "log_probs"), namespace="_nn", method=False, out=False)
def _ctc_loss_backward(grad, log_probs, targets, input_lengths, target_lengths, blank, zero_infinity):
    """The gradient for log probabilities that come from ``log_softmax``: probability less expected occupation."""
    states, skip = _extend(targets, blank)
    scores = _scores(log_probs, states, target_lengths)
    alpha, likelihood = _forward(scores, skip, input_lengths, target_lengths)
    beta = _backward(scores, skip, input_lengths, target_lengths)
    share = np.exp(alpha + beta - scores - likelihood[:, None])
    share[np.isneginf(scores)] = 0
    occupied = np.zeros_like(log_probs)
    t, n = np.ogrid[: len(log_probs), : len(states)]
    for s in range(states.shape[1]):
        occupied[t, n, states[:, s]] += share[:, :, s]
    result = np.exp(log_probs) - occupied
    lost = np.isneginf(likelihood)
    result[:, lost] = 0 if zero_infinity else np.nan
    result[np.arange(len(log_probs))[:, None] >= input_lengths[None, :]] = 0
    result *= grad[:, None]
    if zero_infinity:
        result[:, lost] = 0
    return result


@_ctc_loss_backward.derivative
def _not_twice(g, needs):
    raise RuntimeError("derivative for aten::_ctc_loss_backward is not implemented")


# ---------------------------------------------------------------- arguments

WHERE = " (while checking arguments for ctc_loss_allocate_outputs)"


def _lengths(value: Any, name: str, batch: int) -> np.ndarray:
    if isinstance(value, Tensor):
        if value._array.dtype.kind not in "iu":
            raise RuntimeError(f"{name} must be integral")
        value = (value if value.is_meta else value.cpu())._array
    lengths = np.asarray(value, np.int64).reshape(-1)
    if lengths.size != batch:
        raise RuntimeError(f"{name} must be of size batch_size")
    if lengths.size and lengths.min() < 0:
        raise RuntimeError(f"Expected {name} to have value at least 0, but got value {lengths.min()}{WHERE}")
    return lengths


def _padded(targets: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Targets as a matrix (N, longest): given so, or one after the other."""
    longest = int(lengths.max(initial=0))
    if targets.ndim == 1:
        if lengths.sum() != targets.size:
            raise RuntimeError(
                f"Expected tensor to have size {lengths.sum()} at dimension 0, but got size {targets.size} for "
                f"argument #2 'targets'{WHERE}"
            )
        rows = np.zeros((len(lengths), longest), np.int64)
        rows[np.arange(longest)[None, :] < lengths[:, None]] = targets
        return rows
    if targets.ndim != 2:
        raise RuntimeError(
            f"Expected 1 to 2 dimensions, but got {targets.ndim}-dimensional tensor for argument #2 'targets'{WHERE}"
        )
    if targets.shape[1] < longest:
        raise RuntimeError(
            f"Expected tensor to have size at least {longest} at dimension 1, but got size {targets.shape[1]} for "
            f"argument #2 'targets'{WHERE}"
        )
    return targets[:, :longest].astype(np.int64)


@composite
def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction=1, zero_infinity=False):
    """Negative log likelihoods of ``targets`` given (T, N, C) or (T, C) log probabilities.

    Targets are (N, S) with padding, or all one after the other. ``reduction`` is 0 for none, 1 for the mean, which
    divides by the target lengths first, 2 for the sum.
    """
    batched = log_probs.dim() != 2
    if not batched:
        log_probs = log_probs.unsqueeze(1)
    if log_probs.dim() != 3:
        raise RuntimeError(
            f"Expected 3-dimensional tensor, but got {log_probs.dim()}-dimensional tensor for argument #1 "
            f"'log_probs'{WHERE}"
        )
    steps, batch, classes = log_probs.shape
    if log_probs.numel() == 0:
        raise RuntimeError("log_probs tensor must not be empty")
    if not log_probs.dtype.is_floating_point:
        raise NotImplementedError(f"\"ctc_loss_cpu\" not implemented for '{log_probs.dtype.label}'")
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    given = _lengths(input_lengths, "input_lengths", batch)
    wanted = _lengths(target_lengths, "target_lengths", batch)
    if given.max(initial=0) > steps:
        raise RuntimeError(f"Expected input_lengths to have value at most {steps}, but got value {given.max()}{WHERE}")
    labels = _padded((targets if targets.is_meta else targets.cpu())._array.astype(np.int64), wanted)
    used = np.arange(labels.shape[1])[None, :] < wanted[:, None]
    if (used & ((labels < 0) | (labels >= classes))).any():
        raise RuntimeError(f"ctc_loss: a target is not in the range [0, {classes}) of the classes")
    labels = np.where(used, labels, blank)
    loss = _ctc_loss(log_probs, labels, given, wanted, blank, zero_infinity)
    if reduction == 1:
        return (loss / wrap(np.maximum(wanted, 1)).to(loss.device, loss.dtype)).mean()
    if reduction == 2:
        return loss.sum()
    return loss if batched else loss.squeeze(0)
