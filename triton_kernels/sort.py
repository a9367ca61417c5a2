"""Sorting the rows of a matrix: a bitonic network over keys that compare as integers, and the places they came from.

Places break ties, so the order is stable, and elements beyond a row's end have the largest places, so they stay last.
"""

import triton
import triton.language as tl


@triton.jit
def exchange(key_ptr, place_ptr, pairs, size, width, distance, BLOCK: tl.constexpr):
    """One step of the network: order the pairs `distance` apart within runs of `width` in rows of `size`."""
    pair = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = pair < pairs
    low = pair // distance * (2 * distance) + pair % distance
    high = low + distance
    a = tl.load(key_ptr + low, mask=mask, other=0)
    b = tl.load(key_ptr + high, mask=mask, other=0)
    i = tl.load(place_ptr + low, mask=mask, other=0)
    j = tl.load(place_ptr + high, mask=mask, other=0)
    rising = (low % size) & width == 0
    swap = ((a > b) | ((a == b) & (i > j))) == rising
    tl.store(key_ptr + low, tl.where(swap, b, a), mask=mask)
    tl.store(key_ptr + high, tl.where(swap, a, b), mask=mask)
    tl.store(place_ptr + low, tl.where(swap, j, i), mask=mask)
    tl.store(place_ptr + high, tl.where(swap, i, j), mask=mask)


@triton.jit
def sort_packed(packed_ptr, rows, SIZE: tl.constexpr, ROWS: tl.constexpr):
    """Sort rows of `SIZE` 64-bit numbers, each a 32-bit key over a 32-bit place, within registers."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    at = packed_ptr + (row * SIZE)[:, None] + tl.arange(0, SIZE)[None, :]
    mask = (row < rows)[:, None]
    tl.store(at, tl.sort(tl.load(at, mask=mask, other=0), 1), mask=mask)
