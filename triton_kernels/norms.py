"""Layer, group and RMS norm over the rows of a dense matrix, and their adjoints; moments of channels.

A row that fits into a tile is read once; a longer one is walked three times: mean, spread, result.
"""

import triton
import triton.language as tl

from .scalar import divide, square_root


@triton.jit
def _moments(
    x_ptr, row, rows, count, eps, RMS: tl.constexpr, STATE: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr
):
    """Mean and reciprocal deviation of each row; with RMS the mean counts as zero."""
    at = x_ptr + (row.to(tl.int64) * count)[:, None]
    mean = tl.zeros((ROWS,), STATE)
    if not RMS:
        sums = tl.zeros((ROWS, COLS), STATE)
        for first in range(0, count, COLS):
            col = first + tl.arange(0, COLS)
            mask = (row < rows)[:, None] & (col < count)[None, :]
            sums += tl.load(at + col[None, :], mask=mask, other=0).to(STATE)
        mean = divide(tl.sum(sums, 1), tl.zeros((ROWS,), STATE) + count)
    squares = tl.zeros((ROWS, COLS), STATE)
    for first in range(0, count, COLS):
        col = first + tl.arange(0, COLS)
        mask = (row < rows)[:, None] & (col < count)[None, :]
        x = tl.load(at + col[None, :], mask=mask, other=0).to(STATE)
        away = tl.where(mask, x - mean[:, None], 0.0)
        squares += away * away
    variance = divide(tl.sum(squares, 1), tl.zeros((ROWS,), STATE) + count)
    one = tl.full((ROWS,), 1.0, STATE)
    return mean, divide(one, square_root(variance + eps))


@triton.jit
def _parameter(ptr, row, col, rows, count, groups, size, CHANNELS: tl.constexpr, STATE: tl.constexpr):
    """What scales or shifts the elements: one number per column, or per channel of `size` elements."""
    if CHANNELS:
        channel = ((row % groups) * (count // size))[:, None] + (col // size)[None, :]
        return tl.load(ptr + channel, mask=(row < rows)[:, None] & (col < count)[None, :], other=0).to(STATE)
    else:  # noqa: RET505 - Triton's compiler takes both returns otherwise
        return tl.load(ptr + col, mask=col < count, other=0).to(STATE)[None, :]


@triton.jit
def layer_norm(
    x_ptr, w_ptr, b_ptr, y_ptr, rows, count, groups, size, eps,
    STATE: tl.constexpr, WEIGHT: tl.constexpr, BIAS: tl.constexpr, RMS: tl.constexpr, CHANNELS: tl.constexpr,
    ROWS: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """y = (x - mean) / deviation * w + b along each row; with CHANNELS, rows are groups of channels of `size`."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    mean, scale = _moments(x_ptr, row, rows, count, eps.to(STATE), RMS, STATE, ROWS, COLS)
    at = (row.to(tl.int64) * count)[:, None]
    for first in range(0, count, COLS):
        col = first + tl.arange(0, COLS)
        mask = (row < rows)[:, None] & (col < count)[None, :]
        x = tl.load(x_ptr + at + col[None, :], mask=mask, other=0).to(STATE)
        y = (x - mean[:, None]) * scale[:, None]
        if WEIGHT:
            y = y * _parameter(w_ptr, row, col, rows, count, groups, size, CHANNELS, STATE)
        if BIAS:
            y = y + _parameter(b_ptr, row, col, rows, count, groups, size, CHANNELS, STATE)
        tl.store(y_ptr + at + col[None, :], y.to(y_ptr.dtype.element_ty), mask=mask)


@triton.jit
def layer_norm_adjoint(
    g_ptr, x_ptr, w_ptr, d_ptr, mean_ptr, scale_ptr, rows, count, groups, size, eps,
    STATE: tl.constexpr, WEIGHT: tl.constexpr, RMS: tl.constexpr, CHANNELS: tl.constexpr,
    ROWS: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """d = the gradient in x; each row's mean and reciprocal deviation are kept for the weight's gradient."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    mean, scale = _moments(x_ptr, row, rows, count, eps.to(STATE), RMS, STATE, ROWS, COLS)
    tl.store(mean_ptr + row, mean, mask=row < rows)
    tl.store(scale_ptr + row, scale, mask=row < rows)
    at = (row.to(tl.int64) * count)[:, None]
    plain = tl.zeros((ROWS, COLS), STATE)
    along = tl.zeros((ROWS, COLS), STATE)
    for first in range(0, count, COLS):
        col = first + tl.arange(0, COLS)
        mask = (row < rows)[:, None] & (col < count)[None, :]
        x = tl.load(x_ptr + at + col[None, :], mask=mask, other=0).to(STATE)
        g = tl.load(g_ptr + at + col[None, :], mask=mask, other=0).to(STATE)
        if WEIGHT:
            g = g * _parameter(w_ptr, row, col, rows, count, groups, size, CHANNELS, STATE)
        plain += g
        along += tl.where(mask, g * (x - mean[:, None]) * scale[:, None], 0.0)
    number = tl.zeros((ROWS,), STATE) + count
    share, tilt = divide(tl.sum(plain, 1), number), divide(tl.sum(along, 1), number)
    if RMS:
        share = share * 0
    for first in range(0, count, COLS):
        col = first + tl.arange(0, COLS)
        mask = (row < rows)[:, None] & (col < count)[None, :]
        x = tl.load(x_ptr + at + col[None, :], mask=mask, other=0).to(STATE)
        g = tl.load(g_ptr + at + col[None, :], mask=mask, other=0).to(STATE)
        if WEIGHT:
            g = g * _parameter(w_ptr, row, col, rows, count, groups, size, CHANNELS, STATE)
        normal = (x - mean[:, None]) * scale[:, None]
        d = scale[:, None] * (g - share[:, None] - normal * tilt[:, None])
        tl.store(d_ptr + at + col[None, :], d.to(d_ptr.dtype.element_ty), mask=mask)


@triton.jit
def layer_norm_weights(
    g_ptr, x_ptr, mean_ptr, scale_ptr, dw_ptr, db_ptr, rows, count, chunk,
    STATE: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """Sums over `chunk` rows per program of the gradients in weight and bias, one row of partial sums each."""
    col = tl.program_id(0) * COLS + tl.arange(0, COLS)
    start = tl.program_id(1) * chunk
    stop = tl.minimum(start + chunk, rows)
    dw = tl.zeros((ROWS, COLS), STATE)
    db = tl.zeros((ROWS, COLS), STATE)
    for first in range(start, stop, ROWS):
        row = first + tl.arange(0, ROWS)
        mask = (row < stop)[:, None] & (col < count)[None, :]
        at = (row.to(tl.int64) * count)[:, None] + col[None, :]
        mean = tl.load(mean_ptr + row, mask=row < stop, other=0)[:, None]
        scale = tl.load(scale_ptr + row, mask=row < stop, other=0)[:, None]
        x = tl.load(x_ptr + at, mask=mask, other=0).to(STATE)
        g = tl.load(g_ptr + at, mask=mask, other=0).to(STATE)
        dw += g * (x - mean) * scale
        db += g
    place = tl.program_id(1) * count + col
    tl.store(dw_ptr + place, tl.sum(dw, 0), mask=col < count)
    tl.store(db_ptr + place, tl.sum(db, 0), mask=col < count)


@triton.jit
def channel_moments(
    x_ptr, mean_ptr, var_ptr, channels, total, spatial, chunk, x_n, x_c, x_s,
    STATE: tl.constexpr, FINAL: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """Mean and sum of squared deviations (FINAL: variance) of each channel over `chunk` of its `total` elements.

    The second walk over a chunk finds it in the cache. One row of results per chunk.
    """
    channel = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    start = tl.program_id(1) * chunk
    stop = tl.minimum(start + chunk, total)
    at = x_ptr + (channel.to(tl.int64) * x_c)[:, None]
    sums = tl.zeros((ROWS, COLS), STATE)
    for first in range(start, stop, COLS):
        k = first + tl.arange(0, COLS)
        mask = (channel < channels)[:, None] & (k < stop)[None, :]
        place = (k // spatial).to(tl.int64) * x_n + (k % spatial).to(tl.int64) * x_s
        sums += tl.load(at + place[None, :], mask=mask, other=0).to(STATE)
    number = tl.zeros((ROWS,), STATE) + (stop - start)
    mean = divide(tl.sum(sums, 1), number)
    squares = tl.zeros((ROWS, COLS), STATE)
    for first in range(start, stop, COLS):
        k = first + tl.arange(0, COLS)
        mask = (channel < channels)[:, None] & (k < stop)[None, :]
        place = (k // spatial).to(tl.int64) * x_n + (k % spatial).to(tl.int64) * x_s
        x = tl.load(at + place[None, :], mask=mask, other=0).to(STATE)
        away = tl.where(mask, x - mean[:, None], 0.0)
        squares += away * away
    spread = tl.sum(squares, 1)
    if FINAL:
        spread = divide(spread, number)
    place = tl.program_id(1) * channels + channel
    tl.store(mean_ptr + place, mean, mask=channel < channels)
    tl.store(var_ptr + place, spread, mask=channel < channels)


@triton.jit
def joined_moments(
    mean_ptr, spread_ptr, y_ptr, v_ptr, channels, total, chunk, chunks, STATE: tl.constexpr, ROWS: tl.constexpr,
    COLS: tl.constexpr,
):  # fmt: skip
    """Mean and variance of each channel from those of its chunks (Chan, Golub and LeVeque, 1979)."""
    channel = tl.program_id(0) * COLS + tl.arange(0, COLS)
    part = tl.arange(0, ROWS)
    mask = (part < chunks)[:, None] & (channel < channels)[None, :]
    place = part[:, None] * channels + channel[None, :]
    number = tl.minimum(total - part * chunk, chunk).to(STATE)[:, None]
    mean = tl.load(mean_ptr + place, mask=mask, other=0)
    every = tl.zeros((COLS,), STATE) + total
    center = divide(tl.sum(tl.where(mask, mean * number, 0.0), 0), every)
    away = mean - center[None, :]
    spread = tl.load(spread_ptr + place, mask=mask, other=0) + away * away * number
    tl.store(y_ptr + channel, center, mask=channel < channels)
    variance = divide(tl.sum(tl.where(mask, spread, 0.0), 0), every)
    tl.store(v_ptr + channel, variance, mask=channel < channels)
