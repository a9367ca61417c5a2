"""Scaled dot-product attention in one op that keeps nothing but its inputs and the attention weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from flowtorch.array import sums
from flowtorch.ops.families import op
from flowtorch.ops.second_order import by_hand, derived, gradients_of
from flowtorch.tensor import wrap


@op(
    name="attention",
    tensors=("query", "key", "value", "mask"),
    namespace="_nn",
    method=False,
    out=False,
    node="ScaledDotProductFlashAttentionForCpuBackward0",
)
def attention(query, key, value, mask=None, is_causal=False, scale=1.0, drop=None):
    """``softmax(query @ key.T * scale + mask) @ value``, and the softmax; rows that see nothing give zeros.

    ``drop`` is for devices: (probability, seed, offset) of the weights to drop.
    """
    if mask is None and _in_blocks(query, key, value):
        return _by_heads(query, key, value, is_causal, scale)
    scores = np.matmul(query, key.swapaxes(-1, -2))
    if mask is None and scores.size:
        softmax_of_scores(scores, scale, 0 if is_causal else -1)
        return np.matmul(scores, value, _room(query, scores, value)), scores
    scores *= scale
    if is_causal:
        length, steps = scores.shape[-2:]
        np.copyto(scores, -np.inf, where=~np.tri(length, steps, dtype=bool))
    if mask is not None:
        if mask.dtype == bool:
            scores = np.where(mask, scores, np.asarray(-np.inf, scores.dtype))
        else:
            scores = scores + mask
    if scores.shape[-1]:
        highest = scores.max(-1, keepdims=True)
        highest[np.isneginf(highest)] = 0
        scores -= highest
        np.exp(scores, scores)
        total = scores.sum(-1, keepdims=True)
        total[total == 0] = 1
        scores /= total
    return np.matmul(scores, value, _room(query, scores, value)), scores


def _room(query: np.ndarray, weights: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Memory for the result: in the order of a dense query of (N, H, L, E) with whole rows, as PyTorch lays it out."""
    shape = (*np.broadcast_shapes(weights.shape[:-2], value.shape[:-2]), weights.shape[-2], value.shape[-1])
    if shape == query.shape and len(shape) == 4 and not query.flags.c_contiguous:
        order = [*sorted(range(3), key=lambda d: -query.strides[d]), 3]
        if query.transpose(order).flags.c_contiguous:
            return np.empty([shape[d] for d in order], weights.dtype).transpose(np.argsort(order))
    return np.empty(shape, weights.dtype)


_FAR = 1e-3  # smaller than for softmax alone: the first rows of causal attention see few scores
_ROWS = 64  # rows of the weights that are computed at a time, about: fewer see less of what causal attention hides
_SCORES = 1 << 16  # of several heads, computed at a time
_SMALL = 40.0  # exponentials of numbers up to this need no shift
_WORTH = 1 << 21  # multiplications that take long enough for another thread


def _in_blocks(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> bool:
    """Whether there are heads with so many weights that computing them one by one keeps them in the cache."""
    return (
        query.ndim > 2
        and query.dtype.kind == "f"
        and query.shape[:-2] == key.shape[:-2] == value.shape[:-2]
        and query.shape[-2] * key.shape[-2] >= 16384
    )


def _blocks(length: int, steps: int, is_causal: bool, rows: int) -> list[tuple[slice, slice]]:
    """So many rows each, and the columns that they see: with causal attention none beyond the last of the rows."""
    starts = range(0, length, rows)
    return [(slice(r, min(r + rows, length)), slice(0, min(steps, r + rows) if is_causal else steps)) for r in starts]


def _even(length: int) -> int:
    """The rows of a block, when blocks of about ``_ROWS`` are equally large."""
    return -(-length // max(1, round(length / _ROWS)))


def _by_heads(query: np.ndarray, key: np.ndarray, value: np.ndarray, is_causal: bool, scale: float) -> tuple:
    """``attention`` head by head."""
    weights = np.empty((*query.shape[:-1], key.shape[-2]), query.dtype)
    out = _room(query, weights, value)
    fill_heads(query, key, value, weights, out, is_causal, scale)
    return out, weights


def _each_group(work: Callable[..., None], shape: tuple, width: int) -> None:
    """Call ``work`` on the places of groups of heads, on several threads where there is much to do."""
    from flowtorch.array.spread import spread  # needed only where there is so much to do

    *lead, heads, length, steps = shape
    count = max(1, min(heads, _SCORES // max(1, _even(length) * steps)))
    groups = [(*at, slice(h, min(h + count, heads))) for at in np.ndindex(*lead) for h in range(0, heads, count)]

    def some(first: int, last: int) -> None:
        for where in groups[first:last]:
            work(where)

    spread(some, len(groups), 1 + _WORTH // (count * length * steps * width))


def fill_heads(query, key, value, weights, out, is_causal, scale) -> None:
    """Weights and output of every head, in blocks of heads and of rows."""
    length, steps = weights.shape[-2:]
    height = _even(length)
    blocks = _blocks(length, steps, is_causal, height)

    def some(where: tuple) -> None:
        q, k, v, w, o = query[where] * scale, key[where].swapaxes(1, 2), value[where], weights[where], out[where]
        small = _small(q) * _small(key[where]) <= _SMALL
        room = np.empty(w.shape[0] * height * steps, w.dtype)
        for rows, seen in blocks:
            part = w[:, rows, seen]
            scores = room[: part.size].reshape(part.shape)
            np.matmul(q[:, rows], k[..., seen], scores)
            first = rows.start if is_causal else -1
            if small:
                np.exp(scores, scores)
                if is_causal:                           # all are finite: nothing is left of what is hidden
                    last = scores[..., min(first + 1, scores.shape[-1]) :]
                    last *= _seen(*last.shape[-2:], last.dtype.char)
                total = sums.of_rows(scores.reshape(-1, scores.shape[-1]))
                np.divide(scores, total.reshape(*scores.shape[:-1], 1), part)
            else:
                softmax_of_scores(scores, 1, first)
                part[...] = scores
            np.matmul(part, v[:, seen], o[:, rows])
            w[:, rows, seen.stop :] = 0

    _each_group(some, weights.shape, query.shape[-1])


def _small(vectors: np.ndarray) -> Any:
    """The length of the longest vector; what two such allow bounds their products."""
    return np.sqrt(np.maximum.reduce(np.vecdot(vectors, vectors), axis=None))


def _hide(scores: np.ndarray, first: int) -> None:
    """Hide from row i all but the first i + first + 1 scores, if first >= 0."""
    if first >= 0:
        length, steps = scores.shape[-2:]
        seen = min(first + 1, steps)                    # by every row
        np.copyto(scores[..., seen:], -np.inf, where=_hidden(length, steps - seen))


def softmax_of_scores(scores: np.ndarray, scale: float, first: int) -> None:
    """Scores times ``scale`` become their softmax by rows, in place; row i sees i + first + 1 of them if first >= 0."""
    if scale != 1:
        scores *= scale
    _hide(scores, first)
    steps = scores.shape[-1]
    top = np.maximum.reduce(scores, axis=None)
    weights = scores - top
    np.exp(weights, weights)
    total = sums.of_rows(weights.reshape(-1, steps)).reshape(*scores.shape[:-1], 1)
    if np.minimum.reduce(total, axis=None) > _FAR:      # one shift for all rows is faster, unless they lie far apart
        np.divide(weights, total, scores)
        return
    highest = scores.max(-1, keepdims=True)
    highest[np.isneginf(highest)] = 0
    scores -= highest
    np.exp(scores, scores)
    total = scores.sum(-1, keepdims=True)
    total[total == 0] = 1
    scores /= total


@lru_cache(maxsize=64)
def _seen(length: int, steps: int, char: str) -> np.ndarray:
    """1 where row i sees step k, of which it sees i, else 0; to be read only."""
    return np.tri(length, steps, -1, dtype=char)


@lru_cache(maxsize=64)
def _hidden(length: int, steps: int) -> np.ndarray:
    """Whether step k is hidden from row i, which sees i steps; to be read only."""
    return ~np.tri(length, steps, -1, dtype=np.bool_)


@attention.derivative
def _attention_gradient(g, out, query, key, value, mask, is_causal, scale, drop, needs):
    g = g[0]  # nobody sees the weights
    on_device = query._type.device.type == "cuda"
    if on_device and not derived(g, query, key, value, mask) and not needs[3]:
        kept = (out[0].detach(), out[1].detach())
        return *attention_adjoint(g, *kept, query, key, value, mask, is_causal, scale, drop), None
    if on_device or not by_hand(g, query, key, value, mask):
        return _composite(g, (query, key, value, mask), needs, is_causal, scale, drop)
    arrays = [t._array for t in (g, out[1], query, key, value)]
    if not needs[3] and _in_blocks(*arrays[2:]):
        return *map(wrap, _heads_backward(*arrays, is_causal, scale)), None
    dq, dk, dv, dscores = _attention_backward(*arrays, scale)
    return wrap(dq), wrap(dk), wrap(dv), wrap(dscores) if needs[3] else None


@op(
    name="attention_adjoint",
    tensors=("grad", "output", "kept", "query", "key", "value", "mask"),
    namespace="_nn",
    method=False,
    out=False,
)
def attention_adjoint(grad, output, kept, query, key, value, mask=None, is_causal=False, scale=1.0, drop=None):
    """The gradients of ``attention`` in query, key and value; ``kept`` is its second result."""
    if mask is None and _in_blocks(query, key, value):
        return _heads_backward(grad, kept, query, key, value, is_causal, scale)
    return _attention_backward(grad, kept, query, key, value, scale)[:3]


def _heads_backward(g, weights, query, key, value, is_causal, scale):
    """The gradients in query, key and value, head by head."""
    gradients = tuple(np.empty(x.shape, x.dtype) for x in (query, key, value))
    fill_gradients(g, weights, query, key, value, *gradients, is_causal, scale)
    return gradients


def fill_gradients(g, weights, query, key, value, dq, dk, dv, is_causal, scale) -> None:
    """The gradients of every head, in blocks of heads, of rows and then of columns."""
    length, steps = weights.shape[-2:]
    height = _even(length)
    blocks, columns = (_blocks(*sizes, is_causal, height) for sizes in ((length, steps), (steps, length)))

    def some(where: tuple) -> None:
        q, k, v, e, w = query[where], key[where], value[where].swapaxes(1, 2), g[where], weights[where]
        room = np.empty(w.shape, w.dtype)
        for rows, seen in blocks:
            part = room[:, rows, seen]
            np.matmul(e[:, rows], v[..., seen], part)
            adjoint_of_scores(part, w[:, rows, seen], scale)
            np.matmul(part, k[:, seen], dq[where][:, rows])
        for seen, _ in columns:
            rows = slice(min(seen.start, length), None) if is_causal else slice(None)
            np.matmul(w[:, rows, seen].swapaxes(1, 2), e[:, rows], dv[where][:, seen])
            np.matmul(room[:, rows, seen].swapaxes(1, 2), q[:, rows], dk[where][:, seen])

    _each_group(some, weights.shape, query.shape[-1])


def adjoint_of_scores(d: np.ndarray, weights: np.ndarray, scale: float) -> None:
    """The gradient of the weights becomes that of the scores before their scaling, in place."""
    d -= np.vecdot(d, weights)[..., None]
    d *= weights
    if scale != 1:
        d *= scale


def _attention_backward(g, weights, query, key, value, scale):
    dv = np.matmul(weights.swapaxes(-1, -2), g)
    d = np.matmul(g, value.swapaxes(-1, -2))
    adjoint_of_scores(d, weights, 1.0)
    dq, dk = np.matmul(d, key), np.matmul(d.swapaxes(-1, -2), query)
    dq *= scale
    dk *= scale
    return dq, dk, dv, d


@op(tensors=("input",), namespace="_nn", method=False, out=False, linear=("input",),
    vjp=(lambda g, drop: _attention_dropped(g, drop),))
def _attention_dropped(input, drop):
    """The weights that ``attention`` leaves of these (..., length, steps), over the share of those; for devices."""
    raise NotImplementedError("attention drops weights by this op on devices alone: use dropout")


def _composite(g: Any, inputs: tuple, needs: tuple, is_causal: bool, scale: float, drop: tuple | None = None) -> tuple:
    from flowtorch.nn.functional.attention import _repeat_heads, explicit

    def again(query: Any, key: Any, value: Any, mask: Any) -> tuple:
        if query.dim() > 2 and key.dim() > 2 and query.size(-3) != key.size(-3) > 1:  # heads shared on the device
            key, value = _repeat_heads(query, key), _repeat_heads(query, value)
        return (explicit(query, key, value, mask, drop, is_causal, scale),)

    return gradients_of(again, [g], inputs, needs)
