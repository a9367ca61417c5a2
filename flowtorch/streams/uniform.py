"""Streams with one uniform draw per element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flowtorch.streams.arithmetic import affine, affine32
from flowtorch.streams.checks import (
    LARGEST,
    check_bounds,
    cpp_name,
    is_low_precision,
    name_of,
    not_implemented,
    scalar_name,
    show,
    through_float32,
)
from flowtorch.streams.words import as_real, chunks, draw64, fill, memory_axes

if TYPE_CHECKING:
    from flowtorch.random import Generator

# 0-d arrays, because ufuncs take them faster than scalars.
_MASK24, _MASK53 = np.array(2**24 - 1, np.uint64), np.array(2**53 - 1, np.uint64)
_UNIT24, _UNIT53 = np.array(2.0**-24, np.float32), np.array(2.0**-53)


def fill_unit_floats(gen: Generator, out: np.ndarray) -> None:
    """Fill the float32 vector ``out`` with numbers in [0, 1): the low 24 bits of a word each."""
    fill_units(gen._source(), out)


def fill_units(bits: Any, out: np.ndarray) -> None:
    """Fill ``out`` with the low 24 bits of words of numpy's twister as numbers in [0, 1)."""
    words = bits.random_raw(out.size)
    np.bitwise_and(words, _MASK24, words)
    # Signed integers convert faster.
    out[...] = words.view(np.int64)
    np.multiply(out, _UNIT24, out)


def unit_floats(gen: Generator, count: int) -> np.ndarray:
    """Draw ``count`` float32 numbers in [0, 1)."""
    values = np.empty(count, np.float32)
    fill_unit_floats(gen, values)
    return values


def unit_doubles(gen: Generator, count: int) -> np.ndarray:
    """Draw ``count`` float64 numbers in [0, 1): the low 53 bits of a 64-bit word each."""
    words = draw64(gen, count)
    np.bitwise_and(words, _MASK53, words)
    values = words.view(np.int64).astype(np.float64)
    return np.multiply(values, _UNIT53, values)


def uniform_(gen: Generator, out: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Fill ``out`` (floating or complex) with numbers drawn uniformly from [low, high)."""
    if out.dtype.kind == "c" and not gen.on_device:
        if out.size:
            uniform_(gen, as_real(out), low, high)
        return out
    if out.dtype.kind != "c":
        _check_uniform(out.dtype, low, high)
    if gen.on_device:
        return gen.draw("uniform_", out, low, high)
    if out.dtype == np.float64:
        return fill(out, lambda flat: _fill_uniform64(gen, flat, low, high))
    return fill(out, lambda flat: _fill_uniform32(gen, flat, low, high))


def _check_uniform(dtype: np.dtype, low: float, high: float) -> None:
    limit = LARGEST.get(name_of(dtype))
    if limit is None:
        raise not_implemented("check_uniform_bounds", dtype)
    if -limit <= low <= high <= limit and high - low <= limit:
        return
    check_bounds(dtype, (("from", low), ("to", high)))
    if not low <= high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={show(low)} > to={show(high)}"
        )
    raise RuntimeError(
        f"uniform_ expects to-from <= std::numeric_limits<{scalar_name(dtype)}>::max(), but found to={show(high)} "
        f"and from={show(low)} which result in to-from to exceed the limit"
    )


def _fill_uniform64(gen: Generator, flat: np.ndarray, low: float, high: float) -> None:
    trivial = low == 0 and high == 1
    for start, stop in chunks(flat.size):
        values = unit_doubles(gen, stop - start)
        if not trivial:
            values = affine(values, high - low, low)
            values[values == high] = low
        flat[start:stop] = values


def _fill_uniform32(gen: Generator, flat: np.ndarray, low: float, high: float) -> None:
    if low == 0 and high == 1 and flat.dtype == np.float32:
        for start, stop in chunks(flat.size):
            fill_unit_floats(gen, flat[start:stop])
        return
    # The half precisions draw as float32 and round once; a result that rounds up to the excluded bound
    # becomes the lower one.
    low32, high32 = np.float32(low), np.float32(high)
    first, last = low32.astype(flat.dtype), high32.astype(flat.dtype)
    for start, stop in chunks(flat.size):
        piece = flat[start:stop]
        piece[...] = affine32(unit_floats(gen, stop - start), high32 - low32, low32)
        at_last = piece == last
        if at_last.any():
            piece[at_last] = first


def bernoulli_(gen: Generator, out: np.ndarray, p: float | np.ndarray = 0.5) -> np.ndarray:
    """Fill ``out`` with ones of probability ``p`` (a number, or an array that broadcasts) and zeros."""
    if gen.on_device:
        return gen.draw("bernoulli_", out, p)
    if isinstance(p, np.ndarray):
        return _bernoulli_array(gen, out, p)
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={show(p)}")
    if out.size == 0:
        return out
    _check_bernoulli(out.dtype, "bernoulli_scalar_cpu_")

    def draw(flat: np.ndarray) -> None:
        for start, stop in chunks(flat.size):
            flat[start:stop] = unit_doubles(gen, stop - start) < p

    return fill(out, draw)


def _bernoulli_array(gen: Generator, out: np.ndarray, p: np.ndarray) -> np.ndarray:
    if out.size == 0:
        return out
    _check_bernoulli(out.dtype, "bernoulli_tensor_cpu_self_")
    if name_of(p.dtype) not in LARGEST:
        raise not_implemented("bernoulli_tensor_cpu_p_", p.dtype)
    p = np.broadcast_to(p, out.shape)
    if not ((p >= 0) & (p <= 1)).all():
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    p = p.transpose(memory_axes(out)).ravel()

    def draw(flat: np.ndarray) -> None:
        unit = unit_doubles if p.dtype == np.float64 else unit_floats
        for start, stop in chunks(flat.size):
            flat[start:stop] = unit(gen, stop - start) < p[start:stop]

    return fill(out, draw)


def _check_bernoulli(dtype: np.dtype, kernel: str) -> None:
    if dtype.kind == "c" or name_of(dtype) in ("uint16", "uint32", "uint64") or name_of(dtype).startswith("float8"):
        raise not_implemented(kernel, dtype)


def exponential_(gen: Generator, out: np.ndarray, lambd: float = 1.0) -> np.ndarray:
    """Fill ``out`` (floating) from the exponential distribution of rate ``lambd``."""
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={show(lambd)}")
    if out.size == 0:
        return out
    _check_continuous("Exponential", out.dtype, scalar_name)
    if gen.on_device:
        return gen.draw("exponential_", out, lambd)
    scale = -1.0 / lambd

    def transform(unit: np.ndarray) -> np.ndarray:
        np.negative(unit, unit)
        np.log1p(unit, unit)
        unit *= scale
        return unit

    return fill(out, lambda flat: _fill_transformed(gen, flat, transform))


def cauchy_(gen: Generator, out: np.ndarray, median: float = 0.0, sigma: float = 1.0) -> np.ndarray:
    """Fill ``out`` (floating) from the Cauchy distribution with this median and half width."""
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={show(sigma)}")
    _check_continuous("Cauchy", out.dtype, cpp_name)
    if gen.on_device:
        return gen.draw("cauchy_", out, median, sigma)

    def transform(unit: np.ndarray) -> np.ndarray:
        unit -= 0.5
        unit *= np.pi
        return affine(np.tan(unit, unit), sigma, median)

    return fill(out, lambda flat: _fill_transformed(gen, flat, transform))


def geometric_(gen: Generator, out: np.ndarray, p: float) -> np.ndarray:
    """Fill ``out`` with the number of trials up to the first success of probability ``p``."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={show(p)}")
    if out.size == 0:
        return out
    if out.dtype.kind in "cb" or name_of(out.dtype) in ("uint16", "uint32", "uint64"):
        raise not_implemented("geometric_cpu", out.dtype)
    if gen.on_device:
        return gen.draw("geometric_", out, p)
    scale = float(np.log1p(-p))

    def transform(unit: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            np.log(unit, unit)
        unit /= scale
        return np.ceil(unit, unit)

    return fill(out, lambda flat: _fill_transformed(gen, flat, transform))


def _fill_transformed(gen: Generator, flat: np.ndarray, transform: Any) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        for start, stop in chunks(flat.size):
            flat[start:stop] = through_float32(transform(unit_doubles(gen, stop - start)), flat.dtype)


def _check_continuous(name: str, dtype: np.dtype, naming: Any) -> None:
    if not (dtype.kind == "f" or is_low_precision(dtype)):
        raise RuntimeError(
            f"{name} distribution is a continuous probability distribution. dtype must be a floating point "
            f"but you "
            f"specified {naming(dtype)}"
        )
