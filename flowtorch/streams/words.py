"""Raw draws from a generator, and the order in which an array's elements receive them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from flowtorch.random import Generator

# Draws are made in pieces that stay in the second-level cache through the arithmetic that follows.
CHUNK = 1 << 14

_SHIFT = np.array(32, np.uint64)


def fill_words(bits: Any, out: np.ndarray) -> None:
    """Fill the uint32 vector ``out`` with words of numpy's twister."""
    out[...] = bits.random_raw(out.size)


def draw32(gen: Generator, count: int) -> np.ndarray:
    """Draw ``count`` 32-bit words, as uint32."""
    words = np.empty(count, np.uint32)
    fill_words(gen._source(), words)
    return words


def draw64(gen: Generator, count: int) -> np.ndarray:
    """Draw ``count`` 64-bit words, each from two 32-bit words with the high half first, as uint64."""
    words = draw32(gen, 2 * count)
    high = words[0::2] << _SHIFT
    return np.bitwise_or(high, words[1::2], high)


def chunks(count: int, size: int = CHUNK) -> Sequence[tuple[int, int]]:
    """Cut ``range(count)`` into consecutive (start, stop) pieces."""
    if 0 < count <= size:
        return ((0, count),)
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def memory_order(array: np.ndarray) -> np.ndarray:
    """View ``array`` with its dimensions sorted by stride: the order in which PyTorch visits the elements."""
    if array.flags.c_contiguous:
        return array
    return array.transpose(memory_axes(array))


def memory_axes(array: np.ndarray) -> list[int]:
    """The axes of ``array`` from the slowest to the fastest in memory."""
    return sorted(range(array.ndim), key=lambda axis: -array.strides[axis] if array.shape[axis] > 1 else 0)


def fill(out: np.ndarray, filler: Callable[[np.ndarray], None]) -> np.ndarray:
    """Let ``filler`` write a flat array, and give ``out`` these values in the order of memory."""
    if out.flags.c_contiguous:
        filler(out.reshape(-1))
        return out
    view = memory_order(out)
    if view.flags.c_contiguous:
        filler(view.reshape(-1))
    else:
        flat = np.empty(view.size, view.dtype)
        filler(flat)
        view[...] = flat.reshape(view.shape)
    return out


def as_real(array: np.ndarray) -> np.ndarray:
    """View a complex array as a real one with a last dimension of 2."""
    return array[..., np.newaxis].view(array.real.dtype)
