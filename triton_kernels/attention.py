"""Attention without the matrix of weights: forward by a running softmax, backward from its logarithm (flash attention).

A program of the forward and of the query gradient owns a tile of queries and walks the keys; one of the key and value
gradients owns a tile of keys and walks the queries of every head that shares them, so nothing is added atomically.
Dao, "FlashAttention-2", 2023. Dropout draws again in the backward what it drew in the forward: the random number of a
weight depends on seed, call and place alone.
"""

import triton
import triton.language as tl
from triton.language.extra import libdevice

from .dropout import uniform, words

_LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def _scores(
    q, k, row, col, length, steps, m_at, scale, MASK: tl.constexpr, CAUSAL: tl.constexpr, STATE: tl.constexpr,
    m_row, m_col,
):  # fmt: skip
    """Scaled products of a tile of queries with a tile of keys, -inf where nothing is seen."""
    s = tl.dot(q, tl.trans(k), input_precision="ieee", out_dtype=STATE) * scale
    seen = (row < length)[:, None] & (col < steps)[None, :]
    if CAUSAL:
        seen = seen & (row[:, None] >= col[None, :])
    if MASK:
        at = m_at + row.to(tl.int64)[:, None] * m_row + col.to(tl.int64)[None, :] * m_col
        inside = (row < length)[:, None] & (col < steps)[None, :]
        given = tl.load(at, mask=inside, other=0)
        if MASK == 1:
            seen = seen & (given != 0)
        else:
            s = s + given.to(STATE)
    return tl.where(seen, s, float("-inf"))


@triton.jit
def _drawn(x, at, row, first, length, steps, drop, seed, low, high, STEPS: tl.constexpr):
    """A tile of weights or of their gradients with some dropped and the others over the share of those."""
    quads = (steps + 3) // 4
    counter = (at.to(tl.int64) * length + row)[:, None] * quads + (first // 4 + tl.arange(0, STEPS // 4))[None, :]
    return tl.where(uniform(words(counter, seed, low, high)) >= drop, x * (1 / (1 - drop)).to(x.dtype), 0.0)


@triton.jit
def dropped(x_ptr, y_ptr, length, steps, drop, seed, low, high, ROWS: tl.constexpr, STEPS: tl.constexpr):
    """y = dense (heads, length, steps) weights x with those dropped that attention drops."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    first = tl.program_id(1) * STEPS
    col = first + tl.arange(0, STEPS)
    mask = (row < length)[:, None] & (col < steps)[None, :]
    place = (tl.program_id(2).to(tl.int64) * length + row)[:, None] * steps + col[None, :]
    x = tl.load(x_ptr + place, mask=mask, other=0)
    y = _drawn(x, tl.program_id(2), row, first, length, steps, drop, seed, low, high, STEPS)
    tl.store(y_ptr + place, y.to(y_ptr.dtype.element_ty), mask=mask)


@triton.jit
def forward(
    q_ptr, k_ptr, v_ptr, m_ptr, o_ptr, l_ptr, drop, seed, low, high, heads, length, steps, width, depth, scale,
    q_batch, q_head, q_row, k_batch, k_head, k_row, v_batch, v_head, v_row, m_batch, m_head, m_row, m_col,
    GROUP: tl.constexpr, MASK: tl.constexpr, CAUSAL: tl.constexpr, DROP: tl.constexpr, STATE: tl.constexpr,
    LENGTH: tl.constexpr, STEPS: tl.constexpr, WIDTH: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """o = softmax(q @ k.T * scale + mask) @ v, and l, the logarithm of each row's sum; a blind row gives zeros."""
    batch = (tl.program_id(1) // heads).to(tl.int64)
    head = (tl.program_id(1) % heads).to(tl.int64)
    row = tl.program_id(0) * LENGTH + tl.arange(0, LENGTH)
    e = tl.arange(0, WIDTH)
    d = tl.arange(0, DEPTH)
    q_at = q_ptr + batch * q_batch + head * q_head + row.to(tl.int64)[:, None] * q_row + e[None, :]
    q = tl.load(q_at, mask=(row < length)[:, None] & (e < width)[None, :], other=0)
    k_at = k_ptr + batch * k_batch + (head // GROUP) * k_head
    v_at = v_ptr + batch * v_batch + (head // GROUP) * v_head
    m_at = m_ptr + batch * m_batch + head * m_head
    top = tl.full((LENGTH,), float("-inf"), STATE)
    total = tl.zeros((LENGTH,), STATE)
    acc = tl.zeros((LENGTH, DEPTH), STATE)
    stop = steps
    if CAUSAL:
        stop = tl.minimum(steps, (tl.program_id(0) + 1) * LENGTH)
    for first in range(0, stop, STEPS):
        col = first + tl.arange(0, STEPS)
        inside = (col < steps)[:, None]
        k = tl.load(k_at + col.to(tl.int64)[:, None] * k_row + e[None, :], mask=inside & (e < width)[None, :], other=0)
        s = _scores(q, k, row, col, length, steps, m_at, scale, MASK, CAUSAL, STATE, m_row, m_col)
        peak = tl.maximum(top, tl.max(s, 1))
        base = tl.where(peak == float("-inf"), 0.0, peak)
        p = libdevice.exp2((s - base[:, None]) * _LOG2E)
        fade = libdevice.exp2((top - base) * _LOG2E)
        total = total * fade + tl.sum(p, 1)
        if DROP:
            p = _drawn(p, tl.program_id(1), row, first, length, steps, drop, seed, low, high, STEPS)
        v = tl.load(v_at + col.to(tl.int64)[:, None] * v_row + d[None, :], mask=inside & (d < depth)[None, :], other=0)
        acc = acc * fade[:, None] + tl.dot(p.to(v.dtype), v, input_precision="ieee", out_dtype=STATE)
        top = peak
    some = total > 0
    acc = acc / tl.where(some, total, 1.0)[:, None]
    place = (tl.program_id(1).to(tl.int64) * length + row)[:, None] * depth + d[None, :]
    tl.store(o_ptr + place, acc.to(o_ptr.dtype.element_ty), mask=(row < length)[:, None] & (d < depth)[None, :])
    log = tl.where(some, top + libdevice.log(tl.where(some, total, 1.0)), float("inf"))
    tl.store(l_ptr + tl.program_id(1).to(tl.int64) * length + row, log, mask=row < length)


@triton.jit
def query_gradient(
    q_ptr, k_ptr, v_ptr, m_ptr, g_ptr, l_ptr, t_ptr, dq_ptr, drop, seed, low, high,
    heads, length, steps, width, depth, scale,
    q_batch, q_head, q_row, k_batch, k_head, k_row, v_batch, v_head, v_row, m_batch, m_head, m_row, m_col,
    GROUP: tl.constexpr, MASK: tl.constexpr, CAUSAL: tl.constexpr, DROP: tl.constexpr, STATE: tl.constexpr,
    LENGTH: tl.constexpr, STEPS: tl.constexpr, WIDTH: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """dq for a tile of queries; l is the forward's logarithm, t the sum of g * o of each row; g and dq are dense."""
    batch = (tl.program_id(1) // heads).to(tl.int64)
    head = (tl.program_id(1) % heads).to(tl.int64)
    row = tl.program_id(0) * LENGTH + tl.arange(0, LENGTH)
    e = tl.arange(0, WIDTH)
    d = tl.arange(0, DEPTH)
    inside_row = (row < length)[:, None]
    q_at = q_ptr + batch * q_batch + head * q_head + row.to(tl.int64)[:, None] * q_row + e[None, :]
    q = tl.load(q_at, mask=inside_row & (e < width)[None, :], other=0)
    base = tl.program_id(1).to(tl.int64) * length + row
    g = tl.load(g_ptr + base[:, None] * depth + d[None, :], mask=inside_row & (d < depth)[None, :], other=0)
    log = tl.load(l_ptr + base, mask=row < length, other=float("inf"))
    tilt = tl.load(t_ptr + base, mask=row < length, other=0)
    k_at = k_ptr + batch * k_batch + (head // GROUP) * k_head
    v_at = v_ptr + batch * v_batch + (head // GROUP) * v_head
    m_at = m_ptr + batch * m_batch + head * m_head
    dq = tl.zeros((LENGTH, WIDTH), STATE)
    stop = steps
    if CAUSAL:
        stop = tl.minimum(steps, (tl.program_id(0) + 1) * LENGTH)
    for first in range(0, stop, STEPS):
        col = first + tl.arange(0, STEPS)
        inside = (col < steps)[:, None]
        k = tl.load(k_at + col.to(tl.int64)[:, None] * k_row + e[None, :], mask=inside & (e < width)[None, :], other=0)
        v = tl.load(v_at + col.to(tl.int64)[:, None] * v_row + d[None, :], mask=inside & (d < depth)[None, :], other=0)
        s = _scores(q, k, row, col, length, steps, m_at, scale, MASK, CAUSAL, STATE, m_row, m_col)
        p = libdevice.exp2((s - log[:, None]) * _LOG2E)
        dp = tl.dot(g, tl.trans(v), input_precision="ieee", out_dtype=STATE)
        if DROP:
            dp = _drawn(dp, tl.program_id(1), row, first, length, steps, drop, seed, low, high, STEPS)
        ds = p * (dp - tilt[:, None])
        dq += tl.dot(ds.to(k.dtype), k, input_precision="ieee", out_dtype=STATE)
    place = base[:, None] * width + e[None, :]
    tl.store(dq_ptr + place, (dq * scale).to(dq_ptr.dtype.element_ty), mask=inside_row & (e < width)[None, :])


@triton.jit
def key_gradient(
    q_ptr, k_ptr, v_ptr, m_ptr, g_ptr, l_ptr, t_ptr, dk_ptr, dv_ptr, drop, seed, low, high,
    heads, length, steps, width, depth, scale,
    q_batch, q_head, q_row, k_batch, k_head, k_row, v_batch, v_head, v_row, m_batch, m_head, m_row, m_col,
    GROUP: tl.constexpr, MASK: tl.constexpr, CAUSAL: tl.constexpr, DROP: tl.constexpr, STATE: tl.constexpr,
    LENGTH: tl.constexpr, STEPS: tl.constexpr, WIDTH: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """dk and dv for a tile of keys, over all queries of the `GROUP` heads that share them."""
    shared = heads // GROUP
    batch = (tl.program_id(1) // shared).to(tl.int64)
    owner = (tl.program_id(1) % shared).to(tl.int64)
    col = tl.program_id(0) * STEPS + tl.arange(0, STEPS)
    e = tl.arange(0, WIDTH)
    d = tl.arange(0, DEPTH)
    inside = (col < steps)[:, None]
    k_at = k_ptr + batch * k_batch + owner * k_head + col.to(tl.int64)[:, None] * k_row + e[None, :]
    v_at = v_ptr + batch * v_batch + owner * v_head + col.to(tl.int64)[:, None] * v_row + d[None, :]
    k = tl.load(k_at, mask=inside & (e < width)[None, :], other=0)
    v = tl.load(v_at, mask=inside & (d < depth)[None, :], other=0)
    dk = tl.zeros((STEPS, WIDTH), STATE)
    dv = tl.zeros((STEPS, DEPTH), STATE)
    start = 0
    if CAUSAL:
        start = tl.program_id(0) * STEPS // LENGTH * LENGTH
    for member in range(GROUP):
        head = owner * GROUP + member
        q_at = q_ptr + batch * q_batch + head * q_head
        m_at = m_ptr + batch * m_batch + head * m_head
        base = (batch * heads + head) * length
        for first in range(start, length, LENGTH):
            row = first + tl.arange(0, LENGTH)
            inside_row = (row < length)[:, None]
            at = q_at + row.to(tl.int64)[:, None] * q_row + e[None, :]
            q = tl.load(at, mask=inside_row & (e < width)[None, :], other=0)
            at = g_ptr + (base + row)[:, None] * depth + d[None, :]
            g = tl.load(at, mask=inside_row & (d < depth)[None, :], other=0)
            log = tl.load(l_ptr + base + row, mask=row < length, other=float("inf"))
            tilt = tl.load(t_ptr + base + row, mask=row < length, other=0)
            s = _scores(q, k, row, col, length, steps, m_at, scale, MASK, CAUSAL, STATE, m_row, m_col)
            p = libdevice.exp2((s - log[:, None]) * _LOG2E)
            dp = tl.dot(g, tl.trans(v), input_precision="ieee", out_dtype=STATE)
            seen = p
            if DROP:
                own = batch * heads + head
                start_col = tl.program_id(0) * STEPS
                seen = _drawn(p, own, row, start_col, length, steps, drop, seed, low, high, STEPS)
                dp = _drawn(dp, own, row, start_col, length, steps, drop, seed, low, high, STEPS)
            dv += tl.dot(tl.trans(seen.to(g.dtype)), g, input_precision="ieee", out_dtype=STATE)
            ds = p * (dp - tilt[:, None])
            dk += tl.dot(tl.trans(ds.to(q.dtype)), q, input_precision="ieee", out_dtype=STATE)
    base = tl.program_id(1).to(tl.int64) * steps + col
    at = base[:, None] * width + e[None, :]
    tl.store(dk_ptr + at, (dk * scale).to(dk_ptr.dtype.element_ty), mask=inside & (e < width)[None, :])
    at = base[:, None] * depth + d[None, :]
    tl.store(dv_ptr + at, dv.to(dv_ptr.dtype.element_ty), mask=inside & (d < depth)[None, :])
