"""Reductions over consecutive rows of a matrix: one program per stretch and block of columns, so nothing is atomic."""

import triton
import triton.language as tl

from . import scalar


@triton.jit
def reduce_segments(
    x_ptr, start_ptr, stop_ptr, y_ptr, width, step, first, empty,
    RULE: tl.constexpr, STATE: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """y[i] = the "sum", "mean", "max", "min" or "prod" of `first` and x[start[i]:stop[i]].

    A mean of nothing is `empty`. Rows of x lie `step` elements apart, those of y are dense.
    """
    segment = tl.program_id(0).to(tl.int64)
    col = tl.program_id(1) * COLS + tl.arange(0, COLS)
    start = tl.load(start_ptr + segment)
    stop = tl.load(stop_ptr + segment)
    neutral = tl.zeros((), STATE)
    if RULE == "prod":
        neutral = tl.full((), 1, STATE)
    elif RULE == "max":
        neutral = tl.full((), float("-inf"), STATE)
    elif RULE == "min":
        neutral = tl.full((), float("inf"), STATE)
    acc = tl.zeros((ROWS, COLS), STATE) + neutral
    for begin in range(start, stop, ROWS):
        row = begin + tl.arange(0, ROWS)
        mask = (row < stop)[:, None] & (col < width)[None, :]
        x = tl.load(x_ptr + row.to(tl.int64)[:, None] * step + col[None, :], mask=mask, other=0).to(STATE)
        x = tl.where(mask, x, neutral)
        if RULE == "prod":
            acc = acc * x
        elif RULE == "max":
            acc = scalar.nan_maximum(acc, x)
        elif RULE == "min":
            acc = scalar.nan_minimum(acc, x)
        else:
            acc += x
    base = tl.zeros((COLS,), STATE) + first.to(STATE)
    if RULE == "prod":
        y = base * tl.reduce(acc, 0, scalar.multiply)
    elif RULE == "max":
        y = scalar.nan_maximum(base, tl.reduce(acc, 0, scalar.nan_maximum))
    elif RULE == "min":
        y = scalar.nan_minimum(base, tl.reduce(acc, 0, scalar.nan_minimum))
    else:
        y = base + tl.sum(acc, 0)
    if RULE == "mean":
        count = tl.zeros((COLS,), STATE) + (stop - start).to(STATE)
        none = count <= 0
        y = tl.where(none, empty.to(STATE), scalar.divide(y, tl.where(none, count * 0 + 1, count)))
    tl.store(y_ptr + segment * width + col, y.to(y_ptr.dtype.element_ty), mask=col < width)
