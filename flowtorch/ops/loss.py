"""The negative log likelihood of class indices, and its adjoint."""
from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from flowtorch.array.sums import CHUNK, between, of_rows, ones, spread
from flowtorch.dtypes import int64
from flowtorch.ops.families import op
from flowtorch.ops.op import REGISTRY, composite
from flowtorch.ops.order import in_order
from flowtorch.ops.second_order import derived, gradients_of, linked
from flowtorch.tensor import Tensor

_add_reduce = np.add.reduce
_FEW = 64  # numbers that Python's own list compares faster
_FEW_LOGITS = 8192  # numbers for which a reduction over rows costs more than double precision


def _weights(target: np.ndarray, weight: Any, ignore_index: int, classes: int, dtype: np.dtype) -> tuple:
    """(target with ignored places set to 0, weight of every place: 0 where ignored)."""
    ignored = target == ignore_index
    safe = np.where(ignored, 0, target)
    if safe.size and (safe.min() < 0 or safe.max() >= classes):
        bad = safe.min() if safe.min() < 0 else safe.max()
        raise IndexError(f"Target {bad} is out of bounds.")
    w = np.ones(target.shape, dtype) if weight is None else weight[safe]
    return safe, np.where(ignored, dtype.type(0), w)


def _all_count(target: np.ndarray, classes: int, ignore_index: int) -> bool:
    """Whether every target is a class, and none is to be ignored (as unsigned, negative ones are huge)."""
    if target.dtype != np.int64 or (0 <= ignore_index < classes and (target == ignore_index).any()):
        return False
    return not (target.view(np.uint64) >= classes).any()


@op(name="_nll_loss", tensors=("input", "target", "weight"), method=False, out=False, node="NllLossBackward0",
    outputs=("output", "total_weight"), rejects=("integer", "bool", "complex"),
    vjp=(lambda g, input, target, weight, out, reduction, ignore_index: linked(_nll_loss_backward(
        g[0], target, weight, out[1].detach(), tuple(input.shape), reduction, ignore_index), input), None, None))
def _nll_loss(input, target, weight=None, reduction="mean", ignore_index=-100):
    """(loss, sum of weights) of (N, C, *) log-probabilities at the (N, *) class indices."""
    if weight is None and input.ndim == 2 and _all_count(target, input.shape[1], ignore_index):
        losses = -input[np.arange(len(target)), target]
        total = np.array(len(target), input.dtype)
        if reduction == "none":
            return losses, total
        loss = _add_reduce(losses)
        return (loss / total if reduction == "mean" else loss), total
    safe, w = _weights(target, weight, ignore_index, input.shape[1], input.dtype)
    picked = np.take_along_axis(input, np.expand_dims(safe, 1), 1).squeeze(1)
    # A weight of 0 silences even an infinite or nan loss.
    losses = np.where(w == 0, input.dtype.type(0), -picked * w)
    total = w.sum(dtype=input.dtype)
    if reduction == "none":
        return losses, total
    loss = losses.sum(dtype=input.dtype)
    return (loss / total if reduction == "mean" else loss), total


@op(
    name="_nll_loss_backward",
    tensors=("grad", "target", "weight", "total"),
    method=False,
    out=False,
    node="NllLossBackward0",
    vjp=(
        lambda g, target, weight, reduction, ignore_index: _nll_loss(g, target, weight, reduction, ignore_index)[0],
        None,
        None,
        None,
    ),
)
def _nll_loss_backward(grad, target, weight=None, total=None, input_shape=(), reduction="mean", ignore_index=-100):
    """The gradient of ``_nll_loss``: minus the weight at each class index."""
    out = np.zeros(tuple(input_shape), grad.dtype)
    if weight is None and out.ndim == 2 and _all_count(target, input_shape[1], ignore_index):
        out[np.arange(len(target)), target] = -grad / total if reduction == "mean" else -grad
        return out
    safe, w = _weights(target, weight, ignore_index, input_shape[1], grad.dtype)
    value = -w * grad
    if reduction == "mean":
        value = value / total
    np.put_along_axis(out, np.expand_dims(safe, 1), np.expand_dims(np.where(w == 0, grad.dtype.type(0), value), 1), 1)
    return out


def _check_nll(name: str, input: Any, target: Any, weight: Any) -> None:
    for what, t in (("input", input), ("target", target)):
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}(): argument '{what}' must be Tensor, not {type(t).__name__}")
    shape, places = tuple(input.shape), tuple(target.shape)
    if not shape:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    if len(shape) != 1 and shape[0] != places[0] if places else len(shape) > 1:
        raise ValueError(f"Expected input batch_size ({shape[0]}) to match target batch_size "
                         f"({places[0] if places else 1}).")
    if target.dtype.name not in ("int64", "uint8"):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {target.dtype.label}: class indices are "
                           "integers, so convert them with .long()")
    if target.dtype.name == "uint8" and len(shape) > 2:
        raise RuntimeError("expected scalar type Long but found Byte")
    classes = shape[0] if len(shape) == 1 else shape[1]
    if weight is not None and (weight.dim() != 1 or weight.numel() != classes):
        raise RuntimeError(f"weight tensor should be defined either for all {classes} classes or no classes but got "
                           "weight tensor "
                           f"of shape: {list(weight.shape)}")
    expected = () if len(shape) == 1 else (shape[0], *shape[2:])
    if places != expected and not (len(shape) == 1 and target.numel() == 1):
        if len(shape) <= 2:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported" if len(shape) == 2 else
                               "0D or 1D target tensor expected")
        raise RuntimeError(f"Expected target size {list(expected)}, got {list(places)}")


def are_rows(input, target):
    """Whether these are plain (N, C) logits with N class indices, so that nothing is left to check."""
    return (type(input) is type(target) is Tensor and input._type.simple and target._type.dtype is int64
            and target._type.simple and input._type.dtype.is_floating_point and input._array.ndim == 2
            and target._array.shape == input._array.shape[:1])


def are_alike(input, target):
    """Whether these are plain tensors of real numbers, of one dtype and shape."""
    return (type(input) is type(target) is Tensor and input._type is target._type and input._type.simple
            and input._type.dtype.is_floating_point and input._array.shape == target._array.shape)


def cross_entropy_of_indices(input, target, weight, reduction, ignore_index):
    """``cross_entropy`` for class indices without smoothing, checked like ``nll_loss``."""
    if not (input.dim() == 2 and target.dim() == 1 and weight is None and target.dtype is int64
            and target.shape[0] == input.shape[0]):
        _check_nll("cross_entropy", input, target, weight)
        if target.dtype is not int64:
            target = target.long()
    if input.dim() == 1:
        loss = _cross_entropy(input.unsqueeze(0), target.reshape(1), weight, reduction, ignore_index)
        return loss.reshape(target.shape) if reduction == "none" else loss
    return _cross_entropy(input, target, weight, reduction, ignore_index)


@composite(namespace="nn.functional")
def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    """Minus the log-probability of the class ``target`` in (N, C, *) ``input``, weighted by class.

    Sum over the weights with ``reduction="mean"``; places with target ``ignore_index`` count nothing.
    """
    if size_average is not None or reduce is not None:
        from flowtorch.nn.functional.reduction import legacy_reduction

        reduction = legacy_reduction(size_average, reduce)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    _check_nll("nll_loss", input, target, weight)
    if target.dtype.name != "int64":
        target = target.long()
    if input.dim() == 1:
        loss = _nll_loss(input.unsqueeze(0), target.reshape(1), weight, reduction, ignore_index)[0]
        return loss.reshape(target.shape) if reduction == "none" else loss
    return _nll_loss(input, target, weight, reduction, ignore_index)[0]


# ---------------------------------------------------------------- cross entropy of class indices, in one op

@op(name="_cross_entropy", tensors=("input", "target", "weight"), method=False, out=False, node="NllLossBackward0",
    rejects=("integer", "bool", "complex"))
def _cross_entropy(input, target, weight=None, reduction="mean", ignore_index=-100):
    """The cross entropy of (N, C, *) logits at (N, *) class indices: log_softmax and nll_loss without their results."""
    if _simple_rows(input, target, weight, ignore_index):
        e, total, picked = _exponentials(input, target)
        losses = np.log(total[:, 0])
        losses -= picked
        if reduction == "none":
            return losses.astype(input.dtype, copy=False)
        loss = np.add.reduce(losses) if len(losses) > CHUNK else losses.dot(ones(len(losses), e.dtype.char))
        return np.array(loss / len(target) if reduction == "mean" else loss, input.dtype)
    return _cross_entropy_parts(input, target, weight, reduction, ignore_index)[0]


def _simple_rows(input: np.ndarray, target: np.ndarray, weight: Any, ignore_index: int) -> bool:
    """Whether this is (N, C) with N > 0, without weights or ignored places."""
    classes = input.shape[1]
    if input.ndim != 2 or weight is not None or 0 <= ignore_index < classes or target.size == 0:
        return False
    if target.size <= _FEW and classes <= CHUNK:
        return _below(classes).issuperset(target.tolist())
    return np.minimum.reduce(target) >= 0 and np.maximum.reduce(target) < classes


@lru_cache(maxsize=64)
def _below(n: int) -> frozenset:
    """The numbers below ``n``."""
    return frozenset(range(n))


@lru_cache(maxsize=64)
def _count_up(n: int) -> np.ndarray:
    """The numbers below ``n``, to be read only."""
    return np.arange(n)


def _exponentials(input: np.ndarray, target: np.ndarray) -> tuple:
    """(exp of the logits, its sum over each row as ``spread`` lays it out, the logits at the target).

    The logits are shifted by their row's maximum, but for a few numbers: double precision holds what those give.
    """
    places = _count_up(len(target)), target
    if input.size <= _FEW_LOGITS and input.dtype.char == "f":
        wide = input.astype(np.float64)
        e = np.exp(wide)
        total = e.dot(spread(e.shape[1], "d"))
        if between(total[:, 0], 1e-200, 1e200):
            return e, total, wide[places]
    e = np.subtract(input, np.maximum.reduce(input, axis=1, keepdims=True))
    picked = e[places]
    np.exp(e, e)
    return e, of_rows(e) if e.flags.c_contiguous else np.add.reduce(e, axis=1, keepdims=True), picked


def _cross_entropy_parts(input: Any, target: Any, weight: Any, reduction: str, ignore_index: int) -> tuple:
    """(loss, exponentials of the shifted logits, their sums, safe targets, weights, total weight)."""
    safe, w = _weights(target, weight, ignore_index, input.shape[1], input.dtype)
    shifted = input - input.max(axis=1, keepdims=True)
    picked = np.take_along_axis(shifted, np.expand_dims(safe, 1), 1).squeeze(1)
    e = np.exp(shifted, shifted)
    sums = e.sum(axis=1)
    losses = (np.log(sums) - picked) * w
    if (w == 0).any():
        losses = np.where(w == 0, input.dtype.type(0), losses)
    total = w.sum(dtype=input.dtype)
    if reduction == "none":
        return losses, e, sums, safe, w, total
    loss = losses.sum(dtype=input.dtype)
    return (loss / total if reduction == "mean" else loss), e, sums, safe, w, total


@_cross_entropy.derivative
def _(g, input, target, weight, reduction, ignore_index):
    if derived(g, input):                  # to be differentiated again: through the two ops that it stands for
        def parts(x: Any, *_: Any) -> tuple:
            return (_nll_loss(REGISTRY["_log_softmax"].public(x, 1), target, weight, reduction, ignore_index)[0],)

        return gradients_of(parts, [g], (input, None, None), (True, False, False))
    return _cross_entropy_backward(g, input, target, weight, reduction, ignore_index), None, None


@op(name="_cross_entropy_backward", tensors=("grad", "input", "target", "weight"), method=False, out=False)
def _cross_entropy_backward(grad, input, target, weight=None, reduction="mean", ignore_index=-100):
    """The gradient of ``_cross_entropy``: (softmax - one-hot) times the weight of each place."""
    if _simple_rows(input, target, weight, ignore_index):
        e, total, _ = _exponentials(input, target)
        np.divide(e, total, e)
        e[_count_up(len(target)), target] -= e.dtype.type(1)
        scale = grad / len(target) if reduction == "mean" else grad if grad.ndim == 0 else grad[:, None]
        np.multiply(e, np.asarray(scale, e.dtype), e)
        return e.astype(input.dtype, copy=False)
    _, e, sums, safe, w, total = _cross_entropy_parts(input, target, weight, reduction, ignore_index)
    e /= np.expand_dims(sums, 1)
    at = np.expand_dims(safe, 1)
    np.put_along_axis(e, at, np.take_along_axis(e, at, 1) - e.dtype.type(1), 1)
    scale = grad * w / total if reduction == "mean" else grad * w
    e *= np.expand_dims(scale, 1)
    if (w == 0).any():
        e = np.where(np.expand_dims(w == 0, 1), e.dtype.type(0), e)
    return e


# ---------------------------------------------------------------- squared error, in one op

@op(name="_mse_loss", tensors=("input", "target"), method=False, out=False, node="MseLossBackward0",
    rejects=("integer", "bool"))
def _mse_loss(input, target, reduction="mean"):
    """The squared differences of two tensors of one shape, or their mean or sum."""
    difference = np.subtract(input, target)
    if reduction == "none":
        return in_order(np.multiply(difference, difference), input, target)
    total = _dot(difference)
    return total / difference.size if reduction == "mean" else total


def _dot(a: np.ndarray) -> Any:
    """The sum of squares: of blocks by the dot product, then pairwise over the blocks."""
    flat = a.reshape(-1)
    n = flat.size // 512 * 512
    if n <= 512:
        return flat.dot(flat)
    blocks = flat[:n].reshape(-1, 1, 512)
    return np.add.reduce(np.matmul(blocks, blocks.swapaxes(1, 2)).reshape(-1)) + flat[n:].dot(flat[n:])


@_mse_loss.derivative
def _(g, input, target, reduction, needs):
    difference = input - target
    scale = g * (2.0 / max(input.numel(), 1)) if reduction == "mean" else g * 2.0
    grad = difference * scale
    return (grad if needs[0] else None, -grad if needs[1] else None)
