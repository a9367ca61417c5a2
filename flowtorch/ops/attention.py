"""Scaled dot-product attention."""
from __future__ import annotations

import math
from typing import Any

from flowtorch.ops.op import REGISTRY, composite
from flowtorch.tensor import Tensor


def _check(query: Any, key: Any, value: Any, attn_mask: Any, is_causal: bool) -> None:
    name = "scaled_dot_product_attention"
    for what, t in (("query", query), ("key", key), ("value", value)):
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}(): argument '{what}' must be Tensor, not {type(t).__name__}")
    if query.dtype is not key.dtype or query.dtype is not value.dtype:
        raise RuntimeError("Expected query, key, and value to have the same dtype, but got "
                           f"query.dtype: {query.dtype.label} key.dtype: {key.dtype.label} and value.dtype: {value.dtype.label} "
                           "instead.")
    if query.device != key.device or query.device != value.device:
        raise RuntimeError("Expected query, key, and value to have the same device type, but got query.device: "
                           f"{query.device} key.device: {key.device} and value.device: {value.device} instead.")
    if min(query.dim(), key.dim(), value.dim()) < 2:
        raise RuntimeError("Expected query, key, and value to all be  at least 2 dimensional, but got "
                           f"query.dim: {query.dim()}, key.dim: {key.dim()} and value.dim: {value.dim()} instead.")
    if attn_mask is not None:
        if is_causal:
            raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
        if attn_mask.dtype.name != "bool" and attn_mask.dtype is not query.dtype:
            raise RuntimeError("Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
                               f"{attn_mask.dtype.label} and  query.dtype: {query.dtype.label} instead.")


def _additive(attn_mask: Any, query: Any) -> Any:
    """A boolean mask (True: attend) as numbers to add to the scores."""
    if attn_mask.dtype.name != "bool":
        return attn_mask
    return query.new_zeros(attn_mask.shape).masked_fill(~attn_mask, -math.inf)


def _causal(query: Any, key: Any) -> Any:
    rows, columns = query.shape[-2], key.shape[-2]
    ones = REGISTRY["tril"].public(query.new_ones((rows, columns), dtype=_bool()))
    return query.new_zeros((rows, columns)).masked_fill(~ones, -math.inf)


def _bool() -> Any:
    from flowtorch.dtypes import bool_

    return bool_


@composite(namespace="nn.functional")
def scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None,
                                 enable_gqa=False):
    """softmax(query @ key^T * scale + mask) @ value over the last two dimensions (length, features).

    ``attn_mask``: boolean (True where attention is allowed) or numbers to add. ``is_causal``: each place sees itself and
    what is before it. ``scale``: 1 / sqrt(features) by default. ``enable_gqa``: fewer key and value heads (dimension -3)
    than query heads, each used by a group of them. Rows that may attend to nothing give zeros.
    Vaswani et al., "Attention is all you need", 2017.
    """
    _check(query, key, value, attn_mask, is_causal)
    if enable_gqa:
        heads = query.shape[-3]
        for t in (key, value):
            if t.shape[-3] == 0 or heads % t.shape[-3]:
                raise RuntimeError("Number of heads in key and value must divide the number of heads in query when enable_gqa is "
                                   f"set, but got {heads} and {t.shape[-3]}")
        key = key.repeat_interleave(heads // key.shape[-3], -3)
        value = value.repeat_interleave(heads // value.shape[-3], -3)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * scale) @ key.transpose(-2, -1)
    mask = _causal(query, key) if is_causal else None if attn_mask is None else _additive(attn_mask, query)
    if mask is not None:
        scores = scores + mask
    weights = scores.softmax(-1)
    if mask is not None and attn_mask is not None:
        empty = (scores == -math.inf).all(-1, True)
        if empty.any().item():
            weights = weights.masked_fill(empty, 0)
    if dropout_p > 0.0:
        from flowtorch.nn.functional import dropout

        weights = dropout(weights, dropout_p)
    return weights @ value
