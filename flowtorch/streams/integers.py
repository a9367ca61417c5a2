"""Streams of integers: ranges and permutations."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from flowtorch.streams.checks import DIGITS, check_bounds, cpp_name, name_of, not_implemented, scalar_name
from flowtorch.streams.words import chunks, draw32, draw64, fill

if TYPE_CHECKING:
    from flowtorch.random import Generator

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
# Ranges from here on take a 64-bit word for each number.
_WIDE_RANGE = 2**28
# Permutations from here on are drawn by another algorithm, with 64-bit words.
_LARGE_PERMUTATION = (2**32 - 1) // 20
# Below, shuffling a list beats numpy.
_SMALL_PERMUTATION = 800


def random_(gen: Generator, out: np.ndarray, low: int | None = None, high: int | None = None) -> np.ndarray:
    """Fill ``out`` with integers drawn uniformly.

    With both bounds from [low, high); with ``low`` alone up to the largest integer the dtype holds; with
    neither from 0 to the largest integer up to which a dtype holds all.
    """
    if low is None:
        return _random_default(gen, out)
    if high is None and low == _INT64_MIN:
        return _random_all(gen, out)
    if high is not None:
        low, high = _closed_range(out.dtype, low, high)
    else:
        low, high = _open_range(out.dtype, low)
    if gen.on_device:
        return gen.draw("integers_", out, low, high - low + 1)
    if out.size:
        fill(out, lambda flat: _fill_range(gen, flat, low, high - low + 1))
    return out


def _random_default(gen: Generator, out: np.ndarray) -> np.ndarray:
    dtype = out.dtype
    if out.size == 0:
        return out
    if name_of(dtype) in DIGITS:
        count = 2 ** DIGITS[name_of(dtype)] + 1
    elif dtype == np.bool_:
        count = 2
    elif dtype.kind in "iu" and name_of(dtype) not in ("uint16", "uint32", "uint64"):
        count = int(np.iinfo(dtype).max) + 1
    else:
        raise not_implemented("random_kernel_cpu", dtype)
    if gen.on_device:
        return gen.draw("integers_", out, 0, count)
    return fill(out, lambda flat: _fill_range(gen, flat, 0, count, wide=dtype.itemsize == 8))


def _random_all(gen: Generator, out: np.ndarray) -> np.ndarray:
    name = name_of(out.dtype)
    if out.size == 0:
        return out
    if name in ("float16", "bool", "uint16", "uint32", "uint64") or out.dtype.kind == "c":
        raise not_implemented("random_full_64_bits_range_kernel_cpu", out.dtype)
    if name not in ("int64", "float64", "float32", "bfloat16"):
        raise RuntimeError("random_full_64_bits_range_kernel_cpu handles only int64, double, float and bfloat16")
    if gen.on_device:
        return gen.draw("integers_", out, 0, 2**64)

    def draw(flat: np.ndarray) -> None:
        for start, stop in chunks(flat.size):
            flat[start:stop] = draw64(gen, stop - start).view(np.int64)

    return fill(out, draw)


def _closed_range(dtype: np.dtype, low: int, high: int) -> tuple[int, int]:
    """The first and last integer of [low, high) in ``dtype``."""
    if not low < high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    if _is_floating(dtype):
        if name_of(dtype) not in DIGITS:
            raise not_implemented("random_update_from_to", dtype)
        low, high = _next_integer(dtype, low), _previous_bound(dtype, high)
        if not low < high:
            raise RuntimeError(
                "random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, but got "
                f"from={low} >= to={high}"
            )
    _check_range(dtype, low, high - 1)
    return low, high - 1


def _open_range(dtype: np.dtype, low: int) -> tuple[int, int]:
    """The first and last integer from ``low`` on in ``dtype``."""
    if _is_floating(dtype):
        if name_of(dtype) not in DIGITS:
            raise not_implemented("random_from_to_range_calc", dtype)
        last = 2 ** DIGITS[name_of(dtype)]
        low = _next_integer(dtype, low)
        if not low < last:
            raise RuntimeError(
                "random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted to "
                "dtype, but got "
                f"from={low} > to_inc={last}"
            )
    elif dtype.kind in "iub":
        last = _largest(dtype)
    else:
        raise RuntimeError("random_from_to_impl handles only integral, floating-point and boolean types")
    _check_range(dtype, low, last)
    return low, last


def _is_floating(dtype: np.dtype) -> bool:
    return dtype.kind not in "iubc"


def _largest(dtype: np.dtype) -> int:
    return 1 if dtype == np.bool_ else int(np.iinfo(dtype).max)


def _next_integer(dtype: np.dtype, low: int) -> int:
    """``low``, or the integer after it that ``dtype`` holds where it would round down."""
    after = _as_integer(dtype, low + 1)
    if after < low:
        return after + 2 ** (abs(low + 1).bit_length() - DIGITS[name_of(dtype)])
    return low


def _previous_bound(dtype: np.dtype, high: int) -> int:
    """``high``, or the integer before it that ``dtype`` holds where ``high - 1`` would round up to it."""
    last = _as_integer(dtype, high - 1)
    if last >= high:
        return last - 2 ** (abs(high - 1).bit_length() - DIGITS[name_of(dtype)])
    return high


def _as_integer(dtype: np.dtype, value: int) -> int:
    with np.errstate(over="ignore"):
        rounded = float(np.array(value, np.float32 if dtype.itemsize == 2 else dtype).astype(dtype))
    # What the processor makes of a number beyond the range.
    return int(rounded) if -(2.0**63) <= rounded < 2.0**63 else _INT64_MIN


def _check_range(dtype: np.dtype, low: int, last: int) -> None:
    bounds = (("from", low), ("to - 1", last))
    if dtype.kind == "c":
        raise RuntimeError("check_random_bounds handles only integral, floating-point and boolean types")
    if _is_floating(dtype):
        check_bounds(dtype, bounds)
        digits = DIGITS[name_of(dtype)]
        for name, value in bounds:
            if abs(value) > 2**digits:
                warnings.warn(
                    f"{name} is out of bounds [-(2^{digits}), 2^{digits}]. Due to precision limitations "
                    f"{cpp_name(dtype)} can support discrete uniform distribution only within this range. "
                    f"This warning "
                    "will become an error in version 1.7 release, please fix the code in advance",
                    stacklevel=3,
                )
        return
    smallest = 0 if dtype.kind in "ub" else int(np.iinfo(dtype).min)
    largest = min(_largest(dtype), _INT64_MAX)
    for name, value in bounds:
        # The last of an open range of uint64 counts as -1 to PyTorch.
        if not smallest <= value <= largest:
            raise RuntimeError(f"{name} is out of bounds for {cpp_name(dtype)}")


def _fill_range(gen: Generator, flat: np.ndarray, low: int, count: int, wide: bool | None = None) -> None:
    if wide is None:
        wide = count >= _WIDE_RANGE
    draw: Any = draw64 if wide else draw32
    word: Any = np.uint64 if wide else np.uint32
    # int64 is what PyTorch computes in before it casts; it wraps around.
    offset = np.array(low, np.int64)
    for start, stop in chunks(flat.size):
        values = draw(gen, stop - start)
        if count & (count - 1) == 0:
            values &= word(count - 1)
        else:
            values %= word(count)
        if not wide and flat.dtype == np.int64:
            np.add(values, offset, out=flat[start:stop], casting="unsafe")
            continue
        values = values.astype(np.int64)
        values += offset
        if flat.dtype.itemsize == 2 and _is_floating(flat.dtype):
            values = values.astype(np.float32)
        flat[start:stop] = values


def randperm(gen: Generator, out: np.ndarray) -> np.ndarray:
    """Fill the vector ``out`` with a random permutation of the integers below its length."""
    n = out.size
    _check_permutation(out.dtype, n)
    if gen.on_device:
        return gen.draw("randperm", out)
    if n < 2:
        out[...] = 0
    elif n >= _LARGE_PERMUTATION:
        _shuffle_inside_out(gen, out)
    else:
        swap_places(draw32(gen, n - 1), out)
    return out


def swap_places(words: np.ndarray, out: np.ndarray) -> None:
    """Fill ``out`` with 0, 1, 2, ..., where one after the other changes places with itself or one after it.

    The element at i does so with that at ``i + words[i] % (n - i)``; the words are lost.
    """
    n = out.size
    words %= np.arange(n, 1, -1, dtype=np.uint32)
    values = (_shuffle_list if n < _SMALL_PERMUTATION else _shuffle_vectorized)(words, n)
    if out.dtype.itemsize == 2 and _is_floating(out.dtype):
        values = values.astype(np.float32)
    out[...] = values


def _check_permutation(dtype: np.dtype, n: int) -> None:
    if name_of(dtype) in ("bool", "uint16", "uint32", "uint64") or dtype.kind == "c" or "float8" in name_of(dtype):
        raise not_implemented("randperm", dtype)
    if dtype.kind in "iu" and n - 1 > _largest(dtype):
        raise RuntimeError(f"value cannot be converted to type {name_of(dtype)}_t without overflow")
    limit = {"float16": 2**11 + 1, "float32": 2**24 + 1, "float64": 2**53 + 1}.get(name_of(dtype), n)
    if n > limit:
        shown = "2049" if dtype == np.float16 else f"2^{DIGITS[name_of(dtype)]}+1"
        raise RuntimeError(f"n cannot be greater than {shown} for {scalar_name(dtype)} type.")


def _shuffle_list(steps: np.ndarray, n: int) -> np.ndarray:
    values = list(range(n))
    for i, step in enumerate(steps.tolist()):
        j = i + step
        values[i], values[j] = values[j], values[i]
    return np.array(values)


def _shuffle_vectorized(steps: np.ndarray, n: int) -> np.ndarray:
    """What swapping element i with element ``i + steps[i]``, for i = 0, 1, ..., makes of 0, 1, 2, ..."""
    own = np.arange(n)
    places = own.copy()
    places[:-1] += steps
    # Before step i, place i holds what the last earlier step to choose i put there: what that step found at
    # its own place. Following these steps back to one whose place nobody chose gives the number found at i.
    chosen = places.copy()
    chosen[places == own] = n
    found = np.arange(n + 1)
    found[chosen] = own
    found = found[:n]
    while True:
        further = found.take(found)
        if np.array_equal(further, found):
            break
        found = further
    # Step i takes what is at places[i]: untouched, or what the previous step that chose the same place left
    # there.
    later, earlier = _repeats(places, own)
    places[later] = found.take(earlier)
    return places


def _repeats(places: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All i that repeat an earlier element of ``places``, and for each the last such earlier index."""
    latest = np.empty_like(places)
    # Assigned back to front, so that the first of equal places stays.
    latest[places[::-1]] = own[::-1]
    rest = np.flatnonzero(latest.take(places) != own)
    later, earlier = [], []
    first = np.empty_like(places)
    while rest.size:
        at = places.take(rest)
        first[at[::-1]] = rest[::-1]
        settled = first.take(at) == rest
        now, now_at = rest[settled], at[settled]
        later.append(now)
        earlier.append(latest.take(now_at))
        latest[now_at] = now
        rest = rest[~settled]
    return (np.concatenate(later), np.concatenate(earlier)) if later else (own[:0], own[:0])


def _shuffle_inside_out(gen: Generator, out: np.ndarray) -> None:
    n = out.size
    for start, stop in chunks(n, 1 << 20):
        places = (draw64(gen, stop - start) % np.arange(start + 1, stop + 1, dtype=np.uint64)).tolist()
        for i, place in enumerate(places, start):
            out[i] = out[place]
            out[place] = i
