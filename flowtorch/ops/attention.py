"""Scaled dot-product attention in one op that keeps nothing but its inputs and the attention weights."""

from __future__ import annotations

from typing import Any

import numpy as np

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
def attention(query, key, value, mask=None, is_causal=False, scale=1.0):
    """``softmax(query @ key.T * scale + mask) @ value``, and the softmax; rows that see nothing give zeros."""
    scores = np.matmul(query, key.swapaxes(-1, -2))
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
    return np.matmul(scores, value), scores


@attention.derivative
def _attention_gradient(g, out, query, key, value, mask, is_causal, scale, needs):
    g = g[0]  # nobody sees the weights
    on_device = query._type.device.type == "cuda"
    if on_device and not derived(g, query, key, value, mask) and not needs[3]:
        return *attention_adjoint(g, out[0].detach(), out[1].detach(), query, key, value, mask, is_causal, scale), None
    if on_device or not by_hand(g, query, key, value, mask):
        return _composite(g, (query, key, value, mask), needs, is_causal, scale)
    arrays = (t._array for t in (g, out[1], query, key, value))
    dq, dk, dv, dscores = _attention_backward(*arrays, scale)
    return wrap(dq), wrap(dk), wrap(dv), wrap(dscores) if needs[3] else None


@op(
    name="attention_adjoint",
    tensors=("grad", "output", "kept", "query", "key", "value", "mask"),
    namespace="_nn",
    method=False,
    out=False,
)
def attention_adjoint(grad, output, kept, query, key, value, mask=None, is_causal=False, scale=1.0):
    """The gradients of ``attention`` in query, key and value; ``kept`` is its second result."""
    return _attention_backward(grad, kept, query, key, value, scale)[:3]


def _attention_backward(g, weights, query, key, value, scale):
    dv = np.matmul(weights.swapaxes(-1, -2), g)
    d = np.matmul(g, value.swapaxes(-1, -2))
    d -= np.einsum("...ls,...ls->...l", d, weights)[..., None]
    d *= weights
    scaled = d * scale
    return np.matmul(scaled, key), np.matmul(scaled.swapaxes(-1, -2), query), dv, d


def _composite(g: Any, inputs: tuple, needs: tuple, is_causal: bool, scale: float) -> tuple:
    from flowtorch.nn.functional.attention import _repeat_heads, explicit

    def again(query: Any, key: Any, value: Any, mask: Any) -> tuple:
        if query.dim() > 2 and key.dim() > 2 and query.size(-3) != key.size(-3) > 1:  # heads shared on the device
            key, value = _repeat_heads(query, key), _repeat_heads(query, value)
        return (explicit(query, key, value, mask, 0.0, is_causal, scale),)

    return gradients_of(again, [g], inputs, needs)
