"""Multi-head attention, from projections to output."""

from __future__ import annotations

import math
import warnings

import flowtorch as torch

from ...ops import attention as ops
from ...ops import fused
from ...ops.linear_checks import check_matmul
from ...ops.op import composite

__all__ = ["multi_head_attention_forward", "scaled_dot_product_attention"]


@composite(namespace="nn.functional")
def scaled_dot_product_attention(
    query,
    key,
    value,
    attn_mask=None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
):
    """``softmax(query @ key.T * scale + attn_mask) @ value`` for (..., L, E), (..., S, E) and (..., S, Ev) (Vaswani
    et al., 2017).

    ``scale`` is 1 / sqrt(E) unless given. A boolean mask lets through what is true; ``is_causal`` stands for the
    lower triangle. ``enable_gqa`` repeats the heads (dimension -3) of key and value.

    >>> q, k, v = torch.zeros(1, 4, 8), torch.zeros(1, 6, 8), torch.ones(1, 6, 2)
    >>> torch.nn.functional.scaled_dot_product_attention(q, k, v).shape
    torch.Size([1, 4, 2])
    """
    _check_attention(query, key, value, attn_mask, is_causal, enable_gqa)
    on_device = query.device.type == "cuda" and query.dtype.is_floating_point
    drop = None
    if on_device and 0.0 < dropout_p < 1.0 and all(t._type.plain for t in (query, key, value)):
        drop = fused.draw(dropout_p, query.device)
    on_device = on_device and (drop is not None or dropout_p == 0.0)
    if enable_gqa and not (on_device and query.size(-3) % key.size(-3) == 0):
        key, value = _repeat_heads(query, key), _repeat_heads(query, value)
    if scale is None:
        scale = 1 / math.sqrt(query.size(-1)) if query.size(-1) else 1.0
    if on_device or (dropout_p == 0.0 and query.device.type == "cpu" and query.dtype.is_floating_point):
        return ops.attention(query, key, value, attn_mask, is_causal, scale, drop)[0]
    return explicit(query, key, value, attn_mask, dropout_p, is_causal, scale)


def explicit(query, key, value, mask, drop: float | tuple | None, is_causal: bool, scale: float):
    """Attention made of single ops: with dropout, for derivatives of derivatives, and for other devices.

    ``drop`` is the probability, or a draw that was made: see ``ops.attention``.
    """
    if query.dtype in (torch.float16, torch.bfloat16):  # rounded once, at the end
        wide = mask if mask is None or mask.dtype == torch.bool else mask.float()
        result = explicit(query.float(), key.float(), value.float(), wide, drop, is_causal, scale)
        return result.to(query.dtype)
    scores = torch.matmul(query, key.transpose(-2, -1)) * scale
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    blind = (scores == -math.inf).all(-1, keepdim=True)  # rows that see nothing give zeros
    weights = torch.softmax(scores.masked_fill(blind, 0.0), -1).masked_fill(blind, 0.0)
    if isinstance(drop, tuple):
        weights = ops._attention_dropped(weights, drop)
    elif drop:
        weights = torch.dropout(weights, drop, True)
    return torch.matmul(weights, value)


def _check_attention(query, key, value, mask, is_causal: bool, enable_gqa: bool) -> None:
    if query.dtype != key.dtype or query.dtype != value.dtype:
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{_scalar(query)} key.dtype: {_scalar(key)} and value.dtype: {_scalar(value)} instead."
        )
    if query.dim() < 2 or key.dim() < 2 or value.dim() < 2:
        raise RuntimeError(
            "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: "
            f"{query.dim()} key.dim: {key.dim()} and value.dim: {value.dim()} instead."
        )
    if query.size(-1) != key.size(-1):
        check_matmul(query, key.transpose(-2, -1))
    if key.size(-2) != value.size(-2):
        check_matmul(key.transpose(-2, -1), value)
    if mask is None:
        return
    if is_causal:
        raise RuntimeError(
            "_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True"
        )
    if mask.dtype not in (torch.bool, torch.float32, query.dtype):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
            f"{_scalar(mask)} and  query.dtype: {_scalar(query)} instead."
        )
    scores = (*(query.shape[:-2] if enable_gqa else torch.broadcast_shapes(query.shape[:-2], key.shape[:-2])),
              query.size(-2), key.size(-2))  # fmt: skip
    both = scores if 0 in scores else tuple(torch.broadcast_shapes(scores, mask.shape))
    if both != scores:
        raise RuntimeError(f"output with shape {list(scores)} doesn't match the broadcast shape {list(both)}")


def _scalar(tensor) -> str:
    """PyTorch's C++ name of a dtype."""
    names = {"float64": "double", "float32": "float", "float16": "c10::Half", "bfloat16": "c10::BFloat16"}
    names |= {"int64": "long", "int32": "int"}
    name = str(tensor.dtype).removeprefix("torch.")
    return names.get(name, name)


def _repeat_heads(query, x):
    times, rest = divmod(query.size(-3), x.size(-3))
    if rest:
        raise RuntimeError("Number of heads in key and value must divide the number of heads in ")
    return x if times == 1 else x.repeat_interleave(times, -3)


@composite(namespace="nn.functional")
def multi_head_attention_forward(
    query,
    key,
    value,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight,
    in_proj_bias,
    bias_k,
    bias_v,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight,
    out_proj_bias,
    training: bool = True,
    key_padding_mask=None,
    need_weights: bool = True,
    attn_mask=None,
    use_separate_proj_weight: bool = False,
    q_proj_weight=None,
    k_proj_weight=None,
    v_proj_weight=None,
    static_k=None,
    static_v=None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
):
    """Attention of (L, N, E) or (L, E) queries over keys and values, by ``num_heads`` heads side by side.

    Returns the (L, N, E) output, and with ``need_weights`` the (N, L, S) weights, per head if they are not averaged.
    """
    if use_separate_proj_weight:
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
    else:
        assert in_proj_weight is not None, "use_separate_proj_weight is False but in_proj_weight is None"
        weights = in_proj_weight
    return attend(
        query,
        key,
        value,
        embed_dim_to_check,
        num_heads,
        weights,
        in_proj_bias,
        (bias_k, bias_v),
        add_zero_attn,
        dropout_p if training else 0.0,
        out_proj_weight,
        out_proj_bias,
        key_padding_mask,
        need_weights,
        attn_mask,
        (static_k, static_v),
        average_attn_weights,
        is_causal,
        False,
    )


def attend(
    query, key, value, embed_dim, heads, weights, in_bias, extra_kv, add_zero, dropout_p, out_weight, out_bias,
    padding_mask, need_weights, attn_mask, static_kv, average, is_causal, batch_first,
):  # fmt: skip
    """The body of ``multi_head_attention_forward``; ``batch_first`` inputs are (N, L, E).

    ``weights`` is the packed projection or a triple of separate ones, ``extra_kv`` a key and a value to append to
    every sequence, ``static_kv`` projected (N * heads, S, E / heads) keys and values that replace the computed ones.
    """
    batched = check_shapes(query, key, value, padding_mask, attn_mask, heads)
    if not batched:
        query, key, value = _unsqueeze(query, key, value, 0 if batch_first else 1)
        padding_mask = None if padding_mask is None else padding_mask.unsqueeze(0)
    time = 1 if batch_first else 0
    length, batch, steps = query.size(time), query.size(1 - time), key.size(time)
    padding_mask = canonical_mask(padding_mask, "key_padding_mask", attn_mask, "attn_mask", query.dtype)
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    # The hint stands in for the mask only where nothing else needs the mask's values.
    is_causal = is_causal and padding_mask is None and not need_weights
    attn_mask = None if is_causal else canonical_mask(attn_mask, "attn_mask", None, "", query.dtype)
    _check_sizes(query, key, value, embed_dim, heads, isinstance(weights, tuple))
    q, k, v = _project(query, key, value, weights, in_bias, heads, batch_first)
    mask = _expand_mask(attn_mask, batch, heads, length, steps)
    k, v, added = _append(k, v, extra_kv, static_kv, add_zero, heads)
    mask = _merge_masks(mask, padding_mask, added, batch, k.size(2))
    if need_weights:
        scores = torch.matmul(q * math.sqrt(1.0 / q.size(-1)), k.transpose(-2, -1))
        attention = torch.softmax(scores if mask is None else scores + mask, -1)
        attention = torch.dropout(attention, dropout_p, True) if dropout_p > 0.0 else attention
        mixed = torch.matmul(attention, v)
    else:
        attention = None
        mixed = scaled_dot_product_attention(q, k, v, mask, dropout_p, is_causal)
    # Dropout behind this fills its mask in the order of memory, and PyTorch's output lies time first.
    time_first = not batch_first or dropout_p > 0.0
    mixed = mixed.permute(2, 0, 1, 3) if time_first else mixed.permute(0, 2, 1, 3)
    output = torch.nn.functional.linear(mixed.flatten(2), out_weight, out_bias)
    if time_first and batch_first:
        output = output.transpose(0, 1)
    if attention is not None and average:
        attention = attention.mean(dim=1)
    if batched:
        return output, attention
    return output.squeeze(1 - time), None if attention is None else attention.squeeze(0)


def _unsqueeze(query, key, value, dim: int):
    """Add a batch of one, keeping tensors identical that were: one product can then project them together."""
    q = query.unsqueeze(dim)
    k = q if key is query else key.unsqueeze(dim)
    return q, k, k if value is key else value.unsqueeze(dim)


def _project(query, key, value, weights, bias, heads: int, batch_first: bool):
    """Queries, keys and values, each (N, heads, length, E / heads)."""
    linear = torch.nn.functional.linear
    if isinstance(weights, tuple):
        biases = (None,) * 3 if bias is None else bias.chunk(3)
        inputs = zip((query, key, value), weights, biases, strict=True)
        return tuple(_split_heads(linear(x, w, b), 1, heads, batch_first)[0] for x, w, b in inputs)  # type: ignore[misc]
    if key is value:
        if query is key:
            return _split_heads(linear(query, weights, bias), 3, heads, batch_first)  # type: ignore[misc]
        width = query.size(-1)
        w_q, w_kv = weights.split([width, 2 * width])
        b_q, b_kv = (None, None) if bias is None else bias.split([width, 2 * width])
        (q,) = _split_heads(linear(query, w_q, b_q), 1, heads, batch_first)  # type: ignore[misc]
        return q, *_split_heads(linear(key, w_kv, b_kv), 2, heads, batch_first)  # type: ignore[misc]
    return _project(query, key, value, tuple(weights.chunk(3)), bias, heads, batch_first)


def _split_heads(projected, parts: int, heads: int, batch_first: bool):
    """Cut (length, N, parts * E) or (N, length, parts * E) into ``parts`` tensors (N, heads, length, E / heads)."""
    a, b, width = projected.shape
    cut = projected.view(a, b, parts, heads, width // (parts * heads))
    return (cut.permute(2, 0, 3, 1, 4) if batch_first else cut.permute(2, 1, 3, 0, 4)).unbind(0)


def _append(k, v, extra_kv, static_kv, add_zero: bool, heads: int):
    """Keys and values with the learned and the zero entries at their ends, and how many those are."""
    batch, head_dim = k.size(0), k.size(3)
    added = 0
    if (extra_kv[0] is None) != (extra_kv[1] is None):
        given, missing = ("bias_k", "bias_v") if extra_kv[1] is None else ("bias_v", "bias_k")
        raise AssertionError(f"{given} is set but {missing} is None")
    if extra_kv[0] is not None:
        for static, name in zip(static_kv, ("key", "value"), strict=True):
            if static is not None:
                raise AssertionError(f"bias cannot be added to static {name}.")
        k, v = (
            torch.cat([x, extra.view(1, heads, 1, head_dim).expand(batch, -1, -1, -1)], dim=2)
            for x, extra in zip((k, v), extra_kv, strict=True)
        )
        added = 1
    k = _static(static_kv[0], "static_k", k)
    v = _static(static_kv[1], "static_v", v)
    if add_zero:
        k, v = (torch.cat([x, x.new_zeros((batch, heads, 1, head_dim))], dim=2) for x in (k, v))
        added += 1
    return k, v, added


def _static(static, name: str, computed):
    if static is None:
        return computed
    batch, heads, _, head_dim = computed.shape
    for dim, expected in ((0, batch * heads), (2, head_dim)):
        if static.size(dim) != expected:
            raise AssertionError(f"expecting {name}.size({dim}) of {expected}, but got {static.size(dim)}")
    return static.view(batch, heads, static.size(1), head_dim)


def _expand_mask(mask, batch: int, heads: int, length: int, steps: int):
    """An attention mask as something that broadcasts against (N, heads, length, steps) scores."""
    if mask is None:
        return None
    expected = (length, steps) if mask.dim() == 2 else (batch * heads, length, steps)
    if tuple(mask.shape) != expected:
        raise RuntimeError(
            f"The shape of the {mask.dim()}D attn_mask is {mask.shape}, but should be {expected}."
        )
    return mask if mask.dim() == 2 else mask.view(batch, heads, length, steps)


def _merge_masks(mask, padding_mask, added: int, batch: int, steps: int):
    """Both masks as one; nothing masks the ``added`` entries at the end."""
    if added:
        mask = None if mask is None else torch.constant_pad_nd(mask, (0, added))
        padding_mask = None if padding_mask is None else torch.constant_pad_nd(padding_mask, (0, added))
    if padding_mask is None:
        return mask
    for dim, expected in enumerate((batch, steps)):
        if padding_mask.size(dim) != expected:
            raise AssertionError(
                f"Expected key_padded_mask.shape[{dim}] to be {expected}, but got {padding_mask.size(dim)}"
            )
    padding_mask = padding_mask.view(batch, 1, 1, steps)
    return padding_mask if mask is None else mask + padding_mask


def canonical_mask(mask, name: str, other, other_name: str, dtype):
    """A mask as numbers to add to scores; a boolean mask hides what is True."""
    if mask is None:
        return None
    floating = mask.dtype.is_floating_point
    if not floating and mask.dtype != torch.bool:
        raise AssertionError(f"only bool and floating types of {name} are supported")
    if other is not None and mask.dtype != other.dtype:
        warnings.warn(
            f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead.",
            stacklevel=3,
        )
    if floating:
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(mask, -math.inf)


def check_shapes(query, key, value, padding_mask, attn_mask, heads: int) -> bool:
    """Raise unless all are batched, or all are not; tell which."""
    if query.dim() not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {query.dim()}-D query tensor"
        )
    dims = query.dim()
    query_kind = f"{'batched' if dims == 3 else 'unbatched'} ({dims}-D) `query`"
    if key.dim() != dims or value.dim() != dims:
        raise AssertionError(
            f"For {query_kind}, expected `key` and `value` to be {dims}-D but found {key.dim()}-D and "
            f"{value.dim()}-D tensors respectively"
        )
    if padding_mask is not None and padding_mask.dim() != dims - 1:
        raise AssertionError(
            f"For {query_kind}, expected `key_padding_mask` to be `None` or {dims - 1}-D but found "
            f"{padding_mask.dim()}-D tensor instead"
        )
    if attn_mask is not None:
        if attn_mask.dim() not in (2, 3):
            raise AssertionError(
                f"For {query_kind}, expected `attn_mask` to be `None`, 2-D or 3-D but found "
                f"{attn_mask.dim()}-D tensor instead"
            )
        expected = (heads, query.shape[0], key.shape[0])
        if dims == 2 and attn_mask.dim() == 3 and tuple(attn_mask.shape) != expected:
            raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}")
    return dims == 3


def _check_sizes(query, key, value, embed_dim: int, heads: int, separate: bool) -> None:
    if query.size(-1) != embed_dim:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim}, but got {query.size(-1)}")
    if embed_dim % heads != 0:
        raise AssertionError(f"embed_dim {embed_dim} not divisible by num_heads {heads}")
    if separate:
        if key.shape[:2] != value.shape[:2]:
            raise AssertionError(
                f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}"
            )
    elif key.shape != value.shape:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
