"""Draws of category indices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flowtorch.streams.checks import DIGITS, name_of, scalar_name
from flowtorch.streams.uniform import exponential_, unit_doubles

if TYPE_CHECKING:
    from flowtorch.random import Generator

_MOST_CATEGORIES = 2**24
_NO_MASS = "invalid multinomial distribution (sum of probabilities <= 0)"


def multinomial(gen: Generator, prob: np.ndarray, count: int, replacement: bool = False) -> np.ndarray:
    """Draw ``count`` category indices for the weights along the last dimension of ``prob`` (1-d or 2-d)."""
    _check_multinomial(prob, count, replacement)
    if replacement and count > 1:
        rows = prob.reshape(-1, prob.shape[-1]) if prob.ndim == 2 else prob[np.newaxis]
        return _with_replacement(gen, rows, count).reshape(*prob.shape[:-1], count)
    return _race(gen, prob, count)


def _check_multinomial(prob: np.ndarray, count: int, replacement: bool) -> None:
    if prob.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if name_of(prob.dtype) not in DIGITS:
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {scalar_name(prob.dtype)}")
    if count <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and count > prob.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    if prob.shape[-1] > _MOST_CATEGORIES:
        raise RuntimeError("number of categories cannot exceed 2^24")


def _race(gen: Generator, prob: np.ndarray, count: int) -> np.ndarray:
    """The categories whose exponential clocks of these rates ring first."""
    if prob.size == 0:
        return np.empty((*prob.shape[:-1], count), np.int64)
    wide = prob.astype(np.float32) if prob.dtype.itemsize == 2 else prob
    if not (wide.max() < np.inf and wide.min() >= 0):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if (wide.sum(axis=-1) == 0).any():
        raise RuntimeError(_NO_MASS)
    clocks = exponential_(gen, np.empty_like(prob))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scores = wide / clocks.astype(wide.dtype)
    scores = scores.astype(prob.dtype).astype(wide.dtype)
    if count == 1:
        return scores.argmax(axis=-1, keepdims=True)
    order = np.argsort(-scores, axis=-1, kind="stable")
    return np.ascontiguousarray(order[..., :count])


def _with_replacement(gen: Generator, rows: np.ndarray, count: int) -> np.ndarray:
    wide = rows.astype(np.float32) if rows.dtype.itemsize == 2 else rows
    if not (wide >= 0).all():
        raise RuntimeError("invalid multinomial distribution (encountering probability entry < 0)")
    if not np.isfinite(wide).all():
        raise RuntimeError("invalid multinomial distribution (encountering probability entry = infinity or NaN)")
    if rows.shape[0] and rows.shape[1] == 0:
        raise RuntimeError(_NO_MASS)
    cumulative = np.cumsum(wide, axis=1, dtype=wide.dtype)
    total = cumulative[:, -1:]
    if not (total > 0).all():
        raise RuntimeError(_NO_MASS)
    cumulative /= total.copy()
    cumulative[:, -1:] = 1
    units = unit_doubles(gen, rows.shape[0] * count).reshape(rows.shape[0], count)
    return _bisect(cumulative, units)


def _bisect(cumulative: np.ndarray, units: np.ndarray) -> np.ndarray:
    """The first index in each row of ``cumulative`` whose value is not below the unit."""
    low = np.zeros(units.shape, np.int64)
    high = np.full(units.shape, cumulative.shape[1], np.int64)
    for _ in range(cumulative.shape[1].bit_length()):
        middle = (low + high) >> 1
        np.minimum(middle, cumulative.shape[1] - 1, out=middle)
        below = (np.take_along_axis(cumulative, middle, 1) < units) & (low < high)
        low = np.where(below, middle + 1, low)
        high = np.where(below, high, middle)
    return low
