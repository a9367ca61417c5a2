"""Running products and log-sum-exps of complex numbers along rows, and their products: parts beside each other.

`x_ptr` and `y_ptr` point to real numbers: element k of a dense array has its parts at 2 * k and 2 * k + 1.
"""

import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def multiply(a, b, c, d):
    """(a + bi) * (c + di), as a combine function."""
    return a * c - b * d, a * d + b * c


@triton.jit
def log_add_exp(a, b, c, d):
    """log(exp(a + bi) + exp(c + di)), as a combine function: by the one with the larger real part."""
    first = (a >= c) | (a != a)
    top = tl.where(first, a, c)
    angle = tl.where(first, b, d)
    size = libdevice.exp(tl.where(first, c - a, a - c))
    turn = tl.where(first, d - b, b - d)
    real = size * libdevice.cos(turn)
    imag = size * libdevice.sin(turn)
    y = top + 0.5 * libdevice.log1p(real * (2 + real) + imag * imag)
    z = angle + libdevice.atan2(imag, 1 + real)
    # the difference of equal infinities is NaN although no NaN came in
    same = (a == c) & (tl.abs(a) == float("inf"))
    return tl.where(same, a, y), tl.where(same, b, z)


@triton.jit
def running(x_ptr, y_ptr, rows, length, RULE: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):
    """y = the running `RULE` ("prod", "logsumexp") of x along each row."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    at = (row * length)[:, None]
    kind = x_ptr.dtype.element_ty
    real = tl.full((ROWS,), 1 if RULE == "prod" else float("-inf"), kind)
    imag = tl.zeros((ROWS,), kind)
    for first in range(0, length, COLS):
        col = first + tl.arange(0, COLS)
        mask = (row < rows)[:, None] & (col < length)[None, :]
        place = 2 * (at + col[None, :])
        a = tl.load(x_ptr + place, mask=mask, other=0)
        b = tl.load(x_ptr + place + 1, mask=mask, other=0)
        if RULE == "prod":
            a, b = tl.associative_scan((a, b), 1, multiply)
            a, b = multiply(real[:, None], imag[:, None], a, b)
        else:
            a, b = tl.associative_scan((a, b), 1, log_add_exp)
            a, b = log_add_exp(real[:, None], imag[:, None], a, b)
        tl.store(y_ptr + place, a, mask=mask)
        tl.store(y_ptr + place + 1, b, mask=mask)
        last = (tl.arange(0, COLS) == COLS - 1)[None, :]
        real = tl.sum(tl.where(last, a, 0.0), 1).to(kind)
        imag = tl.sum(tl.where(last, b, 0.0), 1).to(kind)


@triton.jit
def product(x_ptr, y_ptr, rows, length, ROWS: tl.constexpr, COLS: tl.constexpr):
    """y = the product of each row of x."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    at = (row * length)[:, None]
    kind = x_ptr.dtype.element_ty
    real = tl.full((ROWS, COLS), 1, kind)
    imag = tl.zeros((ROWS, COLS), kind)
    for first in range(0, length, COLS):
        col = first + tl.arange(0, COLS)
        mask = (row < rows)[:, None] & (col < length)[None, :]
        place = 2 * (at + col[None, :])
        a = tl.load(x_ptr + place, mask=mask, other=1)
        b = tl.load(x_ptr + place + 1, mask=mask, other=0)
        real, imag = multiply(real, imag, a, b)
    a, b = tl.reduce((real, imag), 1, multiply)
    tl.store(y_ptr + 2 * row, a, mask=row < rows)
    tl.store(y_ptr + 2 * row + 1, b, mask=row < rows)
