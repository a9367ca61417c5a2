"""Convolution in three dimensions as matrix products whose operands are gathered while they are multiplied.

One and two dimensions are three with sizes of 1. Every operand comes with its strides, so any order of dimensions in
memory will do; tiles are read fastest where channels lie last. `k` numbers (kernel position, channel), channels first.
"""

import triton
import triton.language as tl


@triton.jit
def forward(
    x_ptr, w_ptr, b_ptr, y_ptr, images, filters, channels,
    i0, i1, i2, o0, o1, o2, s0, s1, s2, p0, p1, p2, d0, d1, d2,
    x_n, x_c, x_0, x_1, x_2, w_f, w_c, w_0, w_1, w_2, y_n, y_c, y_0, y_1, y_2,
    K0: tl.constexpr, K1: tl.constexpr, K2: tl.constexpr, BIAS: tl.constexpr, STATE: tl.constexpr,
    PRECISION: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """y[n, f, o] = sum over k of x[n, c, o * s - p + k * d] * w[f, c, k]; one program per tile of (positions, filters).

    filters and channels are those of one group, which is the third axis of the grid.
    """
    group = tl.program_id(2).to(tl.int64)
    pos = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    f = tl.program_id(1) * COLS + tl.arange(0, COLS)
    out = o0 * o1 * o2
    n = pos // out
    a2 = pos % o2
    a1 = pos // o2 % o1
    a0 = pos // (o1 * o2) % o0
    valid = n < images
    x_at = x_ptr + group * channels * x_c + n.to(tl.int64) * x_n
    w_at = w_ptr + (group * filters + f) * w_f
    inner = channels * (K0 * K1 * K2)
    acc = tl.zeros((ROWS, COLS), STATE)
    for first in range(0, inner, INNER):
        k = first + tl.arange(0, INNER)
        c = k % channels
        t = k // channels
        t2 = t % K2
        t1 = t // K2 % K1
        t0 = t // (K1 * K2)
        r0 = (a0 * s0 - p0)[:, None] + (t0 * d0)[None, :]
        r1 = (a1 * s1 - p1)[:, None] + (t1 * d1)[None, :]
        r2 = (a2 * s2 - p2)[:, None] + (t2 * d2)[None, :]
        inside = (r0 >= 0) & (r0 < i0) & (r1 >= 0) & (r1 < i1) & (r2 >= 0) & (r2 < i2)
        inside = inside & valid[:, None] & (k < inner)[None, :]
        x = tl.load(x_at[:, None] + (c * x_c)[None, :] + r0 * x_0 + r1 * x_1 + r2 * x_2, mask=inside, other=0)
        at = w_at[None, :] + (c * w_c + t0 * w_0 + t1 * w_1 + t2 * w_2)[:, None]
        w = tl.load(at, mask=(k < inner)[:, None] & (f < filters)[None, :], other=0)
        acc = tl.dot(x, w, acc, input_precision=PRECISION, out_dtype=STATE)
    if BIAS:
        acc += tl.load(b_ptr + group * filters + f, mask=f < filters, other=0).to(STATE)[None, :]
    y_at = y_ptr + (n.to(tl.int64) * y_n + a0 * y_0 + a1 * y_1 + a2 * y_2)[:, None]
    y_at = y_at + ((group * filters + f) * y_c)[None, :]
    tl.store(y_at, acc.to(y_ptr.dtype.element_ty), mask=valid[:, None] & (f < filters)[None, :])


@triton.jit
def input_gradient(
    g_ptr, w_ptr, x_ptr, images, filters, channels,
    i0, i1, i2, o0, o1, o2, s0, s1, s2, p0, p1, p2, d0, d1, d2,
    g_n, g_c, g_0, g_1, g_2, w_f, w_c, w_0, w_1, w_2, x_n, x_c, x_0, x_1, x_2,
    K0: tl.constexpr, K1: tl.constexpr, K2: tl.constexpr, STATE: tl.constexpr,
    PRECISION: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """x[n, c, i] = sum over k and f of g[n, f, (i + p - k * d) / s] * w[f, c, k], where that is a position."""
    group = tl.program_id(2).to(tl.int64)
    pos = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    c = tl.program_id(1) * COLS + tl.arange(0, COLS)
    n = pos // (i0 * i1 * i2)
    a2 = pos % i2
    a1 = pos // i2 % i1
    a0 = pos // (i1 * i2) % i0
    valid = n < images
    g_at = g_ptr + group * filters * g_c + n.to(tl.int64) * g_n
    inner = filters * (K0 * K1 * K2)
    acc = tl.zeros((ROWS, COLS), STATE)
    for first in range(0, inner, INNER):
        k = first + tl.arange(0, INNER)
        f = k % filters
        t = k // filters
        t2 = t % K2
        t1 = t // K2 % K1
        t0 = t // (K1 * K2)
        r0 = (a0 + p0)[:, None] - (t0 * d0)[None, :]
        r1 = (a1 + p1)[:, None] - (t1 * d1)[None, :]
        r2 = (a2 + p2)[:, None] - (t2 * d2)[None, :]
        inside = (r0 >= 0) & (r1 >= 0) & (r2 >= 0) & (r0 % s0 == 0) & (r1 % s1 == 0) & (r2 % s2 == 0)
        r0 = r0 // s0
        r1 = r1 // s1
        r2 = r2 // s2
        inside = inside & (r0 < o0) & (r1 < o1) & (r2 < o2) & valid[:, None] & (k < inner)[None, :]
        g = tl.load(g_at[:, None] + (f * g_c)[None, :] + r0 * g_0 + r1 * g_1 + r2 * g_2, mask=inside, other=0)
        at = w_ptr + ((group * filters + f) * w_f + t0 * w_0 + t1 * w_1 + t2 * w_2)[:, None] + (c * w_c)[None, :]
        w = tl.load(at, mask=(k < inner)[:, None] & (c < channels)[None, :], other=0)
        acc = tl.dot(g, w, acc, input_precision=PRECISION, out_dtype=STATE)
    x_at = x_ptr + (n.to(tl.int64) * x_n + a0 * x_0 + a1 * x_1 + a2 * x_2)[:, None]
    x_at = x_at + ((group * channels + c) * x_c)[None, :]
    tl.store(x_at, acc.to(x_ptr.dtype.element_ty), mask=valid[:, None] & (c < channels)[None, :])


@triton.jit
def weight_gradient(
    g_ptr, x_ptr, w_ptr, images, filters, channels, chunk, splits,
    i0, i1, i2, o0, o1, o2, s0, s1, s2, p0, p1, p2, d0, d1, d2,
    g_n, g_c, g_0, g_1, g_2, x_n, x_c, x_0, x_1, x_2,
    K0: tl.constexpr, K1: tl.constexpr, K2: tl.constexpr, STATE: tl.constexpr,
    PRECISION: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    """w[part, f, k, c] = sum over `chunk` positions (n, o) of g[n, f, o] * x[n, c, o * s - p + k * d]."""
    group = (tl.program_id(2) // splits).to(tl.int64)
    part = tl.program_id(2) % splits
    f = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    k = tl.program_id(1) * COLS + tl.arange(0, COLS)
    width = channels * (K0 * K1 * K2)
    c = k % channels
    t = k // channels
    t2 = t % K2
    t1 = t // K2 % K1
    t0 = t // (K1 * K2)
    out = o0 * o1 * o2
    total = images * out
    start = part * chunk
    stop = tl.minimum(start + chunk, total)
    acc = tl.zeros((ROWS, COLS), STATE)
    for first in range(start, stop, INNER):
        pos = first + tl.arange(0, INNER)
        n = (pos // out).to(tl.int64)
        a2 = pos % o2
        a1 = pos // o2 % o1
        a0 = pos // (o1 * o2) % o0
        at = g_ptr + (n * g_n + a0 * g_0 + a1 * g_1 + a2 * g_2)[None, :] + ((group * filters + f) * g_c)[:, None]
        g = tl.load(at, mask=(f < filters)[:, None] & (pos < stop)[None, :], other=0)
        r0 = (a0 * s0 - p0)[:, None] + (t0 * d0)[None, :]
        r1 = (a1 * s1 - p1)[:, None] + (t1 * d1)[None, :]
        r2 = (a2 * s2 - p2)[:, None] + (t2 * d2)[None, :]
        inside = (r0 >= 0) & (r0 < i0) & (r1 >= 0) & (r1 < i1) & (r2 >= 0) & (r2 < i2)
        inside = inside & (pos < stop)[:, None] & (k < width)[None, :]
        at = x_ptr + (n * x_n)[:, None] + ((group * channels + c) * x_c)[None, :] + r0 * x_0 + r1 * x_1 + r2 * x_2
        x = tl.load(at, mask=inside, other=0)
        acc = tl.dot(g, x, acc, input_precision=PRECISION, out_dtype=STATE)
    groups = tl.num_programs(2) // splits
    row = ((part * groups + group) * filters + f).to(tl.int64)
    tl.store(w_ptr + row[:, None] * width + k[None, :], acc, mask=(f < filters)[:, None] & (k < width)[None, :])
