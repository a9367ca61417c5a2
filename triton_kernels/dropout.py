"""Dropout in one pass: the random words, the mask and the result; four elements share the words of one counter.

The counter is the number of the four, so which elements are dropped depends on neither grid nor block.
Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011.
"""

import triton
import triton.language as tl


@triton.jit
def words(counter, seed, low, high):
    """Four random words for each counter, beside each other along the last dimension.

    seed is a number, or in a captured graph the address of seed and offset, to which low is added.
    """
    key, least, most = seed, low, high
    if seed.dtype.is_ptr():
        offset = tl.load(seed + 1) + low
        key, least, most = tl.load(seed), offset & 0x7FFFFFFF, offset >> 31
    lowest = counter.to(tl.uint32)
    highest = (counter >> 32).to(tl.uint32)
    zeros = tl.zeros_like(lowest)
    a, b, c, d = tl.philox(key, lowest, highest, zeros + least.to(tl.uint32), zeros + most.to(tl.uint32))
    return tl.interleave(tl.interleave(a, c), tl.interleave(b, d))


@triton.jit
def uniform(word):
    """A number in [0, 1) of 24 bits from a random word."""
    return (word >> 8).to(tl.float32) * 5.9604644775390625e-08


@triton.jit
def dropout(x_ptr, y_ptr, mask_ptr, size, seed, low, high, p, scale, STATE: tl.constexpr, BLOCK: tl.constexpr):
    """y = x * scale where a number drawn for the element is not below p, x * 0 elsewhere; the mask says where."""
    block = tl.program_id(0).to(tl.int64)
    drawn = uniform(words(block * (BLOCK // 4) + tl.arange(0, BLOCK // 4), seed, low, high))
    kept = drawn >= p
    index = block * BLOCK + tl.arange(0, BLOCK)
    inside = index < size
    x = tl.load(x_ptr + index, mask=inside, other=0).to(STATE)
    y = tl.where(kept, x * scale.to(STATE), x * 0)
    tl.store(y_ptr + index, y.to(y_ptr.dtype.element_ty), mask=inside)
    tl.store(mask_ptr + index, kept, mask=inside)
