"""Systems with triangular matrices and with the factors of symmetric ones: a program per matrix and block of columns.

Complex numbers come as pairs of real ones: element k of a dense array has its parts at 2 * k and 2 * k + 1. Real ones
pass through the same steps with imaginary parts that the compiler removes.
"""

import triton
import triton.language as tl

from .scalar import divide


@triton.jit
def _load(ptr, place, mask, STATE: tl.constexpr, COMPLEX: tl.constexpr):
    """The parts of elements; an imaginary part of zeros where there is none."""
    if COMPLEX:
        a = tl.load(ptr + 2 * place, mask=mask, other=0).to(STATE)
        b = tl.load(ptr + 2 * place + 1, mask=mask, other=0).to(STATE)
    else:
        a = tl.load(ptr + place, mask=mask, other=0).to(STATE)
        b = tl.zeros_like(a)
    return a, b


@triton.jit
def _store(ptr, place, a, b, mask, COMPLEX: tl.constexpr):
    if COMPLEX:
        tl.store(ptr + 2 * place, a.to(ptr.dtype.element_ty), mask=mask)
        tl.store(ptr + 2 * place + 1, b.to(ptr.dtype.element_ty), mask=mask)
    else:
        tl.store(ptr + place, a.to(ptr.dtype.element_ty), mask=mask)


@triton.jit
def _times(a, b, c, d, COMPLEX: tl.constexpr):
    if COMPLEX:
        return a * c - b * d, a * d + b * c
    else:  # noqa: RET505 - Triton's compiler takes both returns otherwise
        return a * c, b


@triton.jit
def _over(a, b, c, d, COMPLEX: tl.constexpr):
    """(a + bi) / (c + di), scaled by the larger part of the divisor."""
    if COMPLEX:
        top = tl.maximum(tl.abs(c), tl.abs(d))
        c, d = divide(c, top), divide(d, top)
        size = top * (c * c + d * d)
        return divide(a * c + b * d, size), divide(b * c - a * d, size)
    else:  # noqa: RET505
        return divide(a, c), b


@triton.jit
def _row(x, row, at):
    """Row ``at`` of a tile."""
    return tl.sum(tl.where((row == at)[:, None], x, 0.0), 0)


@triton.jit
def triangular(
    a_ptr, b_ptr, x_ptr, size, columns, UPPER: tl.constexpr, UNIT: tl.constexpr, STATE: tl.constexpr,
    COMPLEX: tl.constexpr, SIZE: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """x with a @ x = b for dense (size, size) triangles a and (size, columns) b."""
    batch = tl.program_id(0).to(tl.int64)
    row = tl.arange(0, SIZE)
    col = tl.program_id(1) * COLS + tl.arange(0, COLS)
    mask = (row < size)[:, None] & (col < columns)[None, :]
    place = batch * size * columns + row[:, None] * columns + col[None, :]
    x, z = _load(b_ptr, place, mask, STATE, COMPLEX)
    none = tl.zeros((COLS,), STATE)
    for step in range(size):
        now = step
        if UPPER:
            now = size - 1 - step
        start = batch * size * size + now * size
        a, b = _load(a_ptr, start + row, row < size, STATE, COMPLEX)
        done = row < now
        if UPPER:
            done = row > now
        real, imag = _times(a[:, None], b[:, None], x, z, COMPLEX)
        u = _row(x, row, now) - tl.sum(tl.where(done[:, None], real, 0.0), 0)
        v = none
        if COMPLEX:
            v = _row(z, row, now) - tl.sum(tl.where(done[:, None], imag, 0.0), 0)
        if not UNIT:
            own = row == now
            pivot, turn = tl.sum(tl.where(own, a, 0.0), 0), tl.sum(tl.where(own, b, 0.0), 0)
            u, v = _over(u, v, none + pivot, none + turn, COMPLEX)
        x = tl.where((row == now)[:, None], u[None, :], x)
        if COMPLEX:
            z = tl.where((row == now)[:, None], v[None, :], z)
    _store(x_ptr, place, x, z, mask, COMPLEX)


@triton.jit
def _exchanged(x, z, row, i, j, COMPLEX: tl.constexpr):
    """The tile with rows i and j exchanged."""
    at, to = (row == i)[:, None], (row == j)[:, None]
    first, second = _row(x, row, i), _row(x, row, j)
    x = tl.where(at, second[None, :], tl.where(to, first[None, :], x))
    if COMPLEX:
        first, second = _row(z, row, i), _row(z, row, j)
        z = tl.where(at, second[None, :], tl.where(to, first[None, :], z))
    return x, z


@triton.jit
def _eliminate(x, z, a, b, row, now, beyond, COMPLEX: tl.constexpr):
    """Subtract the column a + bi times row `now` from the rows behind `beyond`."""
    real, imag = _times(a[:, None], b[:, None], _row(x, row, now)[None, :], _row(z, row, now)[None, :], COMPLEX)
    below = (row > beyond)[:, None]
    x = tl.where(below, x - real, x)
    if COMPLEX:
        z = tl.where(below, z - imag, z)
    return x, z


@triton.jit
def _collected(x, z, a, b, row, now, beyond, COMPLEX: tl.constexpr):
    """Subtract from row `now` the sum of the rows behind `beyond` times a + bi."""
    real, imag = _times(a[:, None], b[:, None], x, z, COMPLEX)
    below, own = (row > beyond)[:, None], (row == now)[:, None]
    x = tl.where(own, x - tl.sum(tl.where(below, real, 0.0), 0)[None, :], x)
    if COMPLEX:
        z = tl.where(own, z - tl.sum(tl.where(below, imag, 0.0), 0)[None, :], z)
    return x, z


@triton.jit
def symmetric(
    a_ptr, p_ptr, b_ptr, x_ptr, size, columns, STATE: tl.constexpr, COMPLEX: tl.constexpr, HERMITIAN: tl.constexpr,
    SIZE: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """x from LAPACK's factors in the lower triangle: pivot p is an exchange with row p - 1, two -p a block of two."""
    batch = tl.program_id(0).to(tl.int64)
    row = tl.arange(0, SIZE)
    col = tl.program_id(1) * COLS + tl.arange(0, COLS)
    mask = (row < size)[:, None] & (col < columns)[None, :]
    place = batch * size * columns + row[:, None] * columns + col[None, :]
    x, z = _load(b_ptr, place, mask, STATE, COMPLEX)
    none = tl.zeros((COLS,), STATE)
    start = batch * size * size
    now = tl.zeros((), tl.int32)
    while now < size:
        pivot = tl.load(p_ptr + batch * size + now)
        a, b = _load(a_ptr, start + row * size + now, row < size, STATE, COMPLEX)
        if pivot > 0:
            x, z = _exchanged(x, z, row, now, pivot - 1, COMPLEX)
            x, z = _eliminate(x, z, a, b, row, now, now, COMPLEX)
            own = row == now
            real, imag = tl.sum(tl.where(own, a, 0.0), 0), tl.sum(tl.where(own, b, 0.0), 0)
            if HERMITIAN:
                imag = imag * 0
            u, v = _over(_row(x, row, now), _row(z, row, now), none + real, none + imag, COMPLEX)
            x = tl.where(own[:, None], u[None, :], x)
            if COMPLEX:
                z = tl.where(own[:, None], v[None, :], z)
            now += 1
        else:
            x, z = _exchanged(x, z, row, now + 1, -pivot - 1, COMPLEX)
            c, d = _load(a_ptr, start + row * size + now + 1, row < size, STATE, COMPLEX)
            x, z = _eliminate(x, z, a, b, row, now, now + 1, COMPLEX)
            x, z = _eliminate(x, z, c, d, row, now + 1, now + 1, COMPLEX)
            x, z = _block(x, z, a, b, c, d, row, now, none, COMPLEX, HERMITIAN)
            now += 2
    now = size - 1
    while now >= 0:
        pivot = tl.load(p_ptr + batch * size + now)
        a, b = _load(a_ptr, start + row * size + now, row < size, STATE, COMPLEX)
        if HERMITIAN:
            b = -b
        x, z = _collected(x, z, a, b, row, now, now, COMPLEX)
        if pivot > 0:
            x, z = _exchanged(x, z, row, now, pivot - 1, COMPLEX)
            now -= 1
        else:
            c, d = _load(a_ptr, start + row * size + now - 1, row < size, STATE, COMPLEX)
            if HERMITIAN:
                d = -d
            x, z = _collected(x, z, c, d, row, now - 1, now, COMPLEX)
            x, z = _exchanged(x, z, row, now, -pivot - 1, COMPLEX)
            now -= 2
    _store(x_ptr, place, x, z, mask, COMPLEX)


@triton.jit
def _block(x, z, a, b, c, d, row, now, none, COMPLEX: tl.constexpr, HERMITIAN: tl.constexpr):
    """Rows now and now + 1 divided by the block of two on the diagonal, whose columns are a + bi and c + di."""
    first, second = row == now, row == now + 1
    p, q = none + tl.sum(tl.where(first, a, 0.0), 0), none + tl.sum(tl.where(first, b, 0.0), 0)
    r, s = none + tl.sum(tl.where(second, a, 0.0), 0), none + tl.sum(tl.where(second, b, 0.0), 0)
    t, w = none + tl.sum(tl.where(second, c, 0.0), 0), none + tl.sum(tl.where(second, d, 0.0), 0)
    turned = s
    if HERMITIAN:
        q, w, turned = q * 0, w * 0, -s
    # everything over the entry beside the diagonal, which is the largest
    p, q = _over(p, q, r, turned, COMPLEX)
    t, w = _over(t, w, r, s, COMPLEX)
    u, v = _over(_row(x, row, now), _row(z, row, now), r, turned, COMPLEX)
    f, g = _over(_row(x, row, now + 1), _row(z, row, now + 1), r, s, COMPLEX)
    h, k = _times(p, q, t, w, COMPLEX)
    h = h - 1
    i, j = _times(t, w, u, v, COMPLEX)
    i, j = _over(i - f, j - g, h, k, COMPLEX)
    m, n = _times(p, q, f, g, COMPLEX)
    m, n = _over(m - u, n - v, h, k, COMPLEX)
    x = tl.where(first[:, None], i[None, :], tl.where(second[:, None], m[None, :], x))
    if COMPLEX:
        z = tl.where(first[:, None], j[None, :], tl.where(second[:, None], n[None, :], z))
    return x, z
