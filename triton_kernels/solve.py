"""Triangular systems: one program per matrix and block of right-hand sides, row after row."""

import triton
import triton.language as tl

from .scalar import divide


@triton.jit
def triangular(
    a_ptr, b_ptr, x_ptr, size, columns, UPPER: tl.constexpr, UNIT: tl.constexpr, STATE: tl.constexpr,
    SIZE: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """x with a @ x = b for dense (size, size) triangles a and (size, columns) b."""
    batch = tl.program_id(0).to(tl.int64)
    row = tl.arange(0, SIZE)
    col = tl.program_id(1) * COLS + tl.arange(0, COLS)
    mask = (row < size)[:, None] & (col < columns)[None, :]
    place = batch * size * columns + row[:, None] * columns + col[None, :]
    x = tl.load(b_ptr + place, mask=mask, other=0).to(STATE)
    for step in range(size):
        now = step
        if UPPER:
            now = size - 1 - step
        a = tl.load(a_ptr + batch * size * size + now * size + row, mask=row < size, other=0).to(STATE)
        done = row < now
        if UPPER:
            done = row > now
        sums = tl.sum(tl.where(done[:, None], a[:, None] * x, 0.0), 0)
        own = tl.sum(tl.where((row == now)[:, None], x, 0.0), 0)
        found = own - sums
        if not UNIT:
            pivot = tl.load(a_ptr + batch * size * size + now * size + now).to(STATE)
            found = divide(found, tl.zeros((COLS,), STATE) + pivot)
        x = tl.where((row == now)[:, None], found[None, :], x)
    tl.store(x_ptr + place, x.to(x_ptr.dtype.element_ty), mask=mask)
