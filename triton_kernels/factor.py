"""Bunch and Kaufman's factors of symmetric and Hermitian matrices: one program per matrix, which lies in memory.

The trailing matrix is kept with both triangles, so that rows, which lie together, stand for columns, and an exchange
moves whole rows and columns. Complex numbers come as pairs of real ones, as in solve.py. Bunch and Kaufman, 1977.
"""

import triton
import triton.language as tl

from .solve import _load, _over, _store, _times

_GROWTH = tl.constexpr(0.6403882032022076)
"""(1 + sqrt(17)) / 8, which bounds the growth of elements."""


@triton.jit
def _sizes(a, b, COMPLEX: tl.constexpr):
    """LAPACK's measure of a complex number is the sum of its parts' magnitudes."""
    if COMPLEX:
        return tl.abs(a) + tl.abs(b)
    else:  # noqa: RET505 - Triton's compiler takes both returns otherwise
        return tl.abs(a)


@triton.jit
def _at(x, places, at):
    """One element of a vector."""
    return tl.sum(tl.where(places == at, x, 0.0), 0)


@triton.jit
def _exchange(a_ptr, start, size, now, i, j, r, step, across, STATE: tl.constexpr, COMPLEX: tl.constexpr):
    """Exchange vectors i and j, which lie `step` apart with elements `across` apart, from element `now` on."""
    mask = (r >= now) & (r < size)
    a, b = _load(a_ptr, start + i * step + r * across, mask, STATE, COMPLEX)
    c, d = _load(a_ptr, start + j * step + r * across, mask, STATE, COMPLEX)
    tl.debug_barrier()
    _store(a_ptr, start + i * step + r * across, c, d, mask, COMPLEX)
    _store(a_ptr, start + j * step + r * across, a, b, mask, COMPLEX)
    tl.debug_barrier()


@triton.jit
def _update(
    a_ptr, start, size, first, column, u, v, r, STATE: tl.constexpr, COMPLEX: tl.constexpr, HERMITIAN: tl.constexpr,
    ROWS: tl.constexpr,
):  # fmt: skip
    """Subtract the product of `column` of the matrix and the row u + vi (conjugate) from all behind `first`."""
    if HERMITIAN:
        v = -v
    for begin in range(first, size, ROWS):
        i = begin + tl.arange(0, ROWS)
        a, b = _load(a_ptr, start + i * size + column, i < size, STATE, COMPLEX)
        place = start + (i * size)[:, None] + r[None, :]
        mask = (i < size)[:, None] & ((r >= first) & (r < size))[None, :]
        c, d = _load(a_ptr, place, mask, STATE, COMPLEX)
        e, f = _times(a[:, None], b[:, None], u[None, :], v[None, :], COMPLEX)
        _store(a_ptr, place, c - e, d - f, mask, COMPLEX)
    tl.debug_barrier()


@triton.jit
def symmetric(
    a_ptr, p_ptr, info_ptr, size, STATE: tl.constexpr, COMPLEX: tl.constexpr, HERMITIAN: tl.constexpr,
    SIZE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Overwrite dense matrices by their factors in the lower triangle; pivots and info are LAPACK's."""
    batch = tl.program_id(0).to(tl.int64)
    start = batch * size * size
    r = tl.arange(0, SIZE)
    info = tl.zeros((), tl.int32)
    now = tl.zeros((), tl.int32)
    while now < size:
        behind = (r > now) & (r < size)
        a, b = _load(a_ptr, start + r * size + now, (r >= now) & (r < size), STATE, COMPLEX)
        sizes = _sizes(a, b, COMPLEX)
        if HERMITIAN:
            sizes = tl.where(r == now, tl.abs(a), sizes)
        mine = _at(sizes, r, now)
        others = tl.where(behind, sizes, 0.0)
        most = tl.max(others, 0)
        best = tl.argmax(tl.where(behind, sizes, -1.0), 0).to(tl.int32)
        if tl.maximum(mine, most) > 0:
            c, d = _load(a_ptr, start + best * size + r, (r >= now) & (r < size), STATE, COMPLEX)
            sizes = _sizes(c, d, COMPLEX)
            if HERMITIAN:
                sizes = tl.where(r == best, tl.abs(c), sizes)
            rival = tl.max(tl.where((r >= now) & (r < size) & (r != best), sizes, 0.0), 0)
            stay = (mine >= _GROWTH * most) | (mine * rival >= _GROWTH * most * most)
            two = (stay == 0) & (_at(sizes, r, best) < _GROWTH * rival)
            chosen = tl.where(stay, now, best)
            place = now + two.to(tl.int32)
            tl.debug_barrier()
            if chosen != place:
                _exchange(a_ptr, start, size, now, place, chosen, r, size, 1, STATE, COMPLEX)
                _exchange(a_ptr, start, size, now, place, chosen, r, 1, size, STATE, COMPLEX)
            a, b = _load(a_ptr, start + r * size + now, (r >= now) & (r < size), STATE, COMPLEX)
            p, q = _at(a, r, now), _at(b, r, now)
            if HERMITIAN:
                q = q * 0
            none = tl.zeros((SIZE,), STATE)
            if two:
                behind = (r > now + 1) & (r < size)
                c, d = _load(a_ptr, start + r * size + now + 1, (r >= now) & (r < size), STATE, COMPLEX)
                x, y = _at(a, r, now + 1), _at(b, r, now + 1)
                t, s = _at(c, r, now + 1), _at(d, r, now + 1)
                turned = y
                if HERMITIAN:
                    s, turned = s * 0, -y
                # everything over the element beside the diagonal, which is the largest
                e, f = _over(none + p, none + q, none + x, none + y, COMPLEX)
                i, j = _over(none + t, none + s, none + x, none + turned, COMPLEX)
                g, h = _over(a, b, none + x, none + y, COMPLEX)
                k, m = _over(c, d, none + x, none + turned, COMPLEX)
                det, tilt = _times(e, f, i, j, COMPLEX)
                det = det - 1
                u, v = _times(g, h, i, j, COMPLEX)
                u, v = _over(u - k, v - m, det, tilt, COMPLEX)
                w, z = _times(k, m, e, f, COMPLEX)
                w, z = _over(w - g, z - h, det, tilt, COMPLEX)
                tl.debug_barrier()
                _update(a_ptr, start, size, now + 2, now, u, v, r, STATE, COMPLEX, HERMITIAN, ROWS)
                _update(a_ptr, start, size, now + 2, now + 1, w, z, r, STATE, COMPLEX, HERMITIAN, ROWS)
                _store(a_ptr, start + r * size + now, u, v, behind, COMPLEX)
                _store(a_ptr, start + r * size + now + 1, w, z, behind, COMPLEX)
                tl.store(p_ptr + batch * size + now, -(chosen + 1))
                tl.store(p_ptr + batch * size + now + 1, -(chosen + 1))
                now += 2
            else:
                u, v = _over(a, b, none + p, none + q, COMPLEX)
                tl.debug_barrier()
                _update(a_ptr, start, size, now + 1, now, u, v, r, STATE, COMPLEX, HERMITIAN, ROWS)
                _store(a_ptr, start + r * size + now, u, v, behind, COMPLEX)
                tl.store(p_ptr + batch * size + now, chosen + 1)
                now += 1
        else:
            info = tl.where(info == 0, now + 1, info)
            tl.store(p_ptr + batch * size + now, now + 1)
            now += 1
        tl.debug_barrier()
    tl.store(info_ptr + batch, info)
