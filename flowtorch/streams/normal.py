"""Normal numbers: pairs by the method of Box and Muller, in blocks of 16 or one pair after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from flowtorch.streams.arithmetic import affine, affine32
from flowtorch.streams.boxmuller import BoxMuller
from flowtorch.streams.checks import LARGEST, is_low_precision, name_of, not_implemented, show, through_float32
from flowtorch.streams.uniform import fill_unit_floats, unit_doubles, unit_floats
from flowtorch.streams.words import as_real, chunks, fill

if TYPE_CHECKING:
    from flowtorch.random import Generator

_BLOCK = 16
_HALF = _BLOCK // 2
# Up to here pairs are made one by one, with the C library's functions, as PyTorch makes them.
_FEW = 64


def normal_(gen: Generator, out: np.ndarray, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
    """Fill ``out`` (floating or complex) from the normal distribution.

    For a complex array ``std`` is that of the whole number: each part has ``std / sqrt(2)``.
    """
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {show(std)}")
    if out.size == 0:
        return out
    if gen.on_device and (out.dtype.kind == "c" or name_of(out.dtype) in LARGEST):
        return gen.draw("normal_", out, mean, std)
    if out.dtype.kind == "c":
        normal_(gen, as_real(out), mean, std / math.sqrt(2))
        return out
    if name_of(out.dtype) not in LARGEST:
        raise not_implemented("normal_kernel_cpu", out.dtype)
    if out.size >= _BLOCK and out.flags.c_contiguous:
        _fill_blocks(gen, out.reshape(-1), mean, std)
        return out

    def draw(flat: np.ndarray) -> None:
        flat[...] = through_float32(_scaled(serial_normals(gen, flat.size), mean, std), flat.dtype)

    return fill(out, draw)


def log_normal_(gen: Generator, out: np.ndarray, mean: float = 1.0, std: float = 2.0) -> np.ndarray:
    """Fill ``out`` (floating) with exponentials of normal numbers of this mean and standard deviation."""
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={show(std)}")
    if out.size == 0:
        return out
    if name_of(out.dtype) not in LARGEST:
        raise not_implemented("log_normal_cpu", out.dtype)
    if gen.on_device:
        return gen.draw("log_normal_", out, mean, std)

    def draw(flat: np.ndarray) -> None:
        normals = _scaled(serial_normals(gen, flat.size), mean, std)
        with np.errstate(over="ignore"):
            flat[...] = through_float32(np.exp(normals, normals), flat.dtype)

    return fill(out, draw)


def _scaled(values: np.ndarray, mean: float, std: float) -> np.ndarray:
    return values if mean == 0 and std == 1 else affine(values, std, mean)


def serial_normals(gen: Generator, count: int) -> np.ndarray:
    """Draw ``count`` standard normal numbers in pairs; the generator keeps the half of a pair left over."""
    values = np.empty(count)
    kept = gen._next_normal
    used = 0
    if count and kept is not None:
        values[0] = kept
        gen._next_normal = None
        used = 1
    missing = count - used
    pairs = (missing + 1) // 2
    if not pairs:
        return values
    both = _pairs(gen, pairs)
    values[used:] = both[:missing]
    if missing % 2:
        gen._next_normal = float(both[-1])
    return values


def _pairs(gen: Generator, pairs: int) -> np.ndarray:
    both = np.empty(2 * pairs)
    if pairs <= _FEW:
        units = unit_doubles(gen, 2 * pairs).tolist()
        for i in range(0, 2 * pairs, 2):
            radius = math.sqrt(-2 * math.log1p(-units[i + 1]))
            theta = 2 * math.pi * units[i]
            both[i] = radius * math.cos(theta)
            both[i + 1] = radius * math.sin(theta)
        return both
    for start, stop in chunks(2 * pairs):
        units = unit_doubles(gen, stop - start)
        radius = np.sqrt(-2 * np.log1p(-units[1::2]))
        theta = 2 * np.pi * units[0::2]
        both[start:stop:2] = radius * np.cos(theta)
        both[start + 1 : stop : 2] = radius * np.sin(theta)
    return both


def _fill_blocks(gen: Generator, flat: np.ndarray, mean: float, std: float) -> None:
    double = flat.dtype == np.float64
    unit = unit_doubles if double else unit_floats
    transform = _transform64 if double else _transform32(mean, std)
    whole = flat.size - flat.size % _BLOCK
    rest = flat.size - whole
    for start, stop in chunks(whole):
        if flat.dtype == np.float32 and not (rest and stop == whole):
            fill_unit_floats(gen, flat[start:stop])
            transform(flat[start:stop])
            continue
        units = unit(gen, stop - start)
        if rest and stop == whole:
            # A last block that is not whole is replaced by a fresh one that ends where the array ends. In the
            # full precisions it has used up its words by then.
            if not is_low_precision(flat.dtype):
                unit(gen, rest)
            units = np.concatenate((units, unit(gen, _BLOCK)))
        values = transform(units)
        if double:
            values = _scaled(values, mean, std)
        flat[start:stop] = values[: stop - start]
    if rest:
        flat[-_BLOCK:] = values[-_BLOCK:]


def _transform64(units: np.ndarray) -> np.ndarray:
    blocks = units.reshape(-1, 2, _HALF)
    radius = np.sqrt(-2 * np.log(1 - blocks[:, 0]))
    theta = 2 * np.pi * blocks[:, 1]
    np.multiply(radius, np.cos(theta), blocks[:, 0])
    np.multiply(radius, np.sin(theta), blocks[:, 1])
    return units


def _transform32(mean: float, std: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda units: pairs_of_blocks(units, mean, std)


def pairs_of_blocks(units: np.ndarray, mean: float, std: float) -> np.ndarray:
    """Make float32 ``units``, blocks of 16 of them, normal numbers in place."""
    pairs = units.size // 2
    blocks = units.reshape(-1, 2, _HALF)
    u1, u2 = np.empty((2, pairs), np.float32)
    np.subtract(np.float32(1), blocks[:, 0], u1.reshape(-1, _HALF))
    u2.reshape(-1, _HALF)[...] = blocks[:, 1]
    for half, values in enumerate(BoxMuller(pairs)(u1, u2)):
        blocks[:, half] = affine32(values, np.float32(std), np.float32(mean)).reshape(-1, _HALF)
    return units
