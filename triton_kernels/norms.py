"""Layer norm over the rows of a dense matrix, and its adjoint.

A row that fits into a tile is read once; a longer one is walked three times: mean, spread, result.
"""

import triton
import triton.language as tl

from .scalar import divide, square_root


@triton.jit
def _moments(x_ptr, row, rows, count, eps, STATE: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):
    """Mean and reciprocal deviation of each row."""
    at = x_ptr + (row.to(tl.int64) * count)[:, None]
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
def layer_norm(
    x_ptr, w_ptr, b_ptr, y_ptr, rows, count, eps,
    STATE: tl.constexpr, WEIGHT: tl.constexpr, BIAS: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """y = (x - mean) / deviation * w + b along each row."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    mean, scale = _moments(x_ptr, row, rows, count, eps.to(STATE), STATE, ROWS, COLS)
    at = (row.to(tl.int64) * count)[:, None]
    for first in range(0, count, COLS):
        col = first + tl.arange(0, COLS)
        mask = (row < rows)[:, None] & (col < count)[None, :]
        x = tl.load(x_ptr + at + col[None, :], mask=mask, other=0).to(STATE)
        y = (x - mean[:, None]) * scale[:, None]
        if WEIGHT:
            y = y * tl.load(w_ptr + col, mask=col < count, other=0).to(STATE)[None, :]
        if BIAS:
            y = y + tl.load(b_ptr + col, mask=col < count, other=0).to(STATE)[None, :]
        tl.store(y_ptr + at + col[None, :], y.to(y_ptr.dtype.element_ty), mask=mask)


@triton.jit
def layer_norm_adjoint(
    g_ptr, x_ptr, w_ptr, d_ptr, mean_ptr, scale_ptr, rows, count, eps,
    STATE: tl.constexpr, WEIGHT: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """d = the gradient in x; each row's mean and reciprocal deviation are kept for the weight's gradient."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    mean, scale = _moments(x_ptr, row, rows, count, eps.to(STATE), STATE, ROWS, COLS)
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
            g = g * tl.load(w_ptr + col, mask=col < count, other=0).to(STATE)[None, :]
        plain += g
        along += tl.where(mask, g * (x - mean[:, None]) * scale[:, None], 0.0)
    number = tl.zeros((ROWS,), STATE) + count
    share, tilt = divide(tl.sum(plain, 1), number), divide(tl.sum(along, 1), number)
    for first in range(0, count, COLS):
        col = first + tl.arange(0, COLS)
        mask = (row < rows)[:, None] & (col < count)[None, :]
        x = tl.load(x_ptr + at + col[None, :], mask=mask, other=0).to(STATE)
        g = tl.load(g_ptr + at + col[None, :], mask=mask, other=0).to(STATE)
        if WEIGHT:
            g = g * tl.load(w_ptr + col, mask=col < count, other=0).to(STATE)[None, :]
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
