"""Running sums, products, extrema with their places, and log-sum-exps along the rows of a dense matrix.

A program walks its rows tile by tile and carries the last column's state into the next tile.
"""

import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def _add(a, b):
    return a + b


@triton.jit
def _multiply(a, b):
    return a * b


@triton.jit
def _log_add_exp(a, b):
    top = tl.where((a > b) | (a != a), a, b)
    total = top + libdevice.log1p(libdevice.exp(-tl.abs(a - b)))
    # the difference of equal infinities is NaN although no NaN came in
    return tl.where((a == b) & (tl.abs(a) == float("inf")), a, total)


@triton.jit
def _later_max(a, i, b, j):
    take = (b >= a) | (b != b)
    return tl.where(take, b, a), tl.where(take, j, i)


@triton.jit
def _later_min(a, i, b, j):
    take = (b <= a) | (b != b)
    return tl.where(take, b, a), tl.where(take, j, i)


@triton.jit
def running(
    x_ptr, y_ptr, rows, length, RULE: tl.constexpr, STATE: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr
):
    """y = the running `RULE` ("sum", "prod", "logsumexp") of x along each row, computed in `STATE`."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    at = (row * length)[:, None]
    if RULE == "sum":
        carry = tl.zeros((ROWS,), STATE)
    elif RULE == "prod":
        carry = tl.full((ROWS,), 1, STATE)
    else:
        carry = tl.full((ROWS,), float("-inf"), STATE)
    for first in range(0, length, COLS):
        col = first + tl.arange(0, COLS)
        mask = (row < rows)[:, None] & (col < length)[None, :]
        x = tl.load(x_ptr + at + col[None, :], mask=mask, other=0).to(STATE)
        if RULE == "sum":
            y = carry[:, None] + tl.associative_scan(x, 1, _add)
        elif RULE == "prod":
            y = carry[:, None] * tl.associative_scan(x, 1, _multiply)
        else:
            y = _log_add_exp(carry[:, None], tl.associative_scan(x, 1, _log_add_exp))
        tl.store(y_ptr + at + col[None, :], y.to(y_ptr.dtype.element_ty), mask=mask)
        last = (tl.arange(0, COLS) == COLS - 1)[None, :]
        carry = tl.sum(tl.where(last, y, tl.zeros_like(y)), 1).to(STATE)


@triton.jit
def running_extreme(
    x_ptr, y_ptr, k_ptr, rows, length, RULE: tl.constexpr, STATE: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr
):
    """y = the running "max" or "min" of x along each row, k = the latest place where it stands; NaN wins."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    at = (row * length)[:, None]
    carry = tl.load(x_ptr + row * length, mask=row < rows, other=0).to(STATE)
    place = tl.zeros((ROWS,), tl.int32)
    for first in range(0, length, COLS):
        col = first + tl.arange(0, COLS)
        mask = (row < rows)[:, None] & (col < length)[None, :]
        x = tl.load(x_ptr + at + col[None, :], mask=mask, other=0).to(STATE)
        own = tl.zeros((ROWS, COLS), tl.int32) + col[None, :].to(tl.int32)
        if RULE == "max":
            y, k = tl.associative_scan((x, own), 1, _later_max)
            y, k = _later_max(carry[:, None], place[:, None], y, k)
        else:
            y, k = tl.associative_scan((x, own), 1, _later_min)
            y, k = _later_min(carry[:, None], place[:, None], y, k)
        tl.store(y_ptr + at + col[None, :], y.to(y_ptr.dtype.element_ty), mask=mask)
        tl.store(k_ptr + at + col[None, :], k.to(tl.int64), mask=mask)
        last = (tl.arange(0, COLS) == COLS - 1)[None, :]
        carry = tl.sum(tl.where(last, y, tl.zeros_like(y)), 1).to(STATE)
        place = tl.sum(tl.where(last, k, tl.zeros_like(k)), 1)


@triton.jit
def _first_largest(a, i, b, j):
    better = (b > a) | ((b != b) & (a == a))
    same = (b == a) | ((b != b) & (a != a))
    take = better | (same & (j < i))
    return tl.where(take, b, a), tl.where(take, j, i)


@triton.jit
def _first_smallest(a, i, b, j):
    better = (b < a) | ((b != b) & (a == a))
    same = (b == a) | ((b != b) & (a != a))
    take = better | (same & (j < i))
    return tl.where(take, b, a), tl.where(take, j, i)


@triton.jit
def extreme_place(
    x_ptr, y_ptr, k_ptr, rows, length, RULE: tl.constexpr, STATE: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr
):
    """y = the "max" or "min" of each row of x, k = the first place where it stands; the first NaN wins."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    at = (row * length)[:, None]
    head = tl.load(x_ptr + row * length, mask=row < rows, other=0).to(STATE)
    best = tl.zeros((ROWS, COLS), STATE) + head[:, None]
    place = tl.zeros((ROWS, COLS), tl.int32)
    for first in range(0, length, COLS):
        col = first + tl.arange(0, COLS)
        mask = (row < rows)[:, None] & (col < length)[None, :]
        x = tl.load(x_ptr + at + col[None, :], mask=mask, other=0).to(STATE)
        x = tl.where(mask, x, best)
        k = tl.where(mask, tl.zeros((ROWS, COLS), tl.int32) + col[None, :].to(tl.int32), place)
        if RULE == "max":
            best, place = _first_largest(best, place, x, k)
        else:
            best, place = _first_smallest(best, place, x, k)
    if RULE == "max":
        y, k = tl.reduce((best, place), 1, _first_largest)
    else:
        y, k = tl.reduce((best, place), 1, _first_smallest)
    tl.store(y_ptr + row, y.to(y_ptr.dtype.element_ty), mask=row < rows)
    tl.store(k_ptr + row, k.to(tl.int64), mask=row < rows)
