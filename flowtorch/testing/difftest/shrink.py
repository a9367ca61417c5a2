"""A smaller call that fails in the same way: layout, dtype, arguments, shape, then values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..samples import Array, Sample

BUDGET = 300  # calls that one shrinking may cost


def shrink(sample: Sample, fails: Callable[[Sample], bool], budget: int = BUDGET) -> Sample:
    """The smallest call found for which ``fails`` holds; ``sample`` itself must fail."""
    spent, again = 0, True
    while again:
        again = False
        for smaller in simpler(sample):
            spent += 1
            if spent > budget:
                return sample
            try:
                failed = fails(smaller)
            except Exception:
                failed = False  # not a call that can be compared
            if failed:
                sample, again = smaller, True
                break
    return sample


def simpler(sample: Sample) -> Iterator[Sample]:
    """Calls a step simpler, the biggest steps first."""
    arrays = sample.arrays()
    if any(a.layout != "contiguous" for a in arrays):
        yield sample.map_arrays(lambda a: a.with_(layout="contiguous"))
    for key in sample.kwargs:
        yield Sample(sample.args, {k: v for k, v in sample.kwargs.items() if k != key})
    yield from _sizes(sample, arrays)
    yield from _one_array_at_a_time(sample, arrays)
    yield from _dtypes(sample, arrays)
    yield from _values(sample, arrays)


def _sizes(sample: Sample, arrays: list[Array]) -> Iterator[Sample]:
    """Every dimension of one size, in all arguments at once, made 1, half, or one less."""
    for size in sorted({n for a in arrays for n in a.values.shape if n > 1}, reverse=True):
        for new in dict.fromkeys((1, size // 2, size - 1)):
            if 0 < new < size:
                smaller = sample.map_arrays(lambda a, s=size, n=new: _cut(a, s, n))
                yield smaller
                told = Sample(_told(smaller.args, size, new), _told(smaller.kwargs, size, new), smaller.jitter)
                if repr(told) != repr(smaller):  # an argument names the size: layer_norm(x, (16,))
                    yield told


def _told(value: Any, size: int, new: int) -> Any:
    """An argument in which ``size`` is ``new``."""
    if isinstance(value, (tuple, list)):
        return type(value)(_told(v, size, new) for v in value)
    if isinstance(value, dict):
        return {k: _told(v, size, new) for k, v in value.items()}
    return new if type(value) is int and value == size else value


def _cut(a: Array, size: int, new: int) -> Array:
    return a.with_(values=a.values[tuple(slice(0, new) if n == size else slice(None) for n in a.values.shape)])


def _one_array_at_a_time(sample: Sample, arrays: list[Array]) -> Iterator[Sample]:
    for target in arrays:
        for axis, n in enumerate(target.values.shape):
            if n > 1:
                for part in (slice(0, n // 2), slice(n // 2, n), slice(1, n)):
                    where = (slice(None),) * axis + (part,)
                    yield _put(sample, target, target.values[where])
        if target.values.ndim and target.values.shape[0]:
            yield _put(sample, target, target.values[0])


def _put(sample: Sample, target: Array, values: Any) -> Sample:
    return sample.map_arrays(lambda a: a.with_(values=np.asarray(values)) if a is target else a)


def _dtypes(sample: Sample, arrays: list[Array]) -> Iterator[Sample]:
    kinds = {a.dtype for a in arrays if "float" in a.dtype}
    if kinds - {"float32"}:
        yield sample.map_arrays(lambda a: a.with_(dtype="float32") if "float" in a.dtype else a)


def _values(sample: Sample, arrays: list[Array]) -> Iterator[Sample]:
    for target in arrays:
        v = target.values
        if v.dtype.kind not in "fciu" or not v.size:
            continue
        for other in (np.zeros_like(v), np.ones_like(v), np.round(v) if v.dtype.kind == "f" else v):
            if not np.array_equal(other, v):
                yield _put(sample, target, other)
        if v.size <= 8:
            for k in range(v.size):
                for new in (0, 1):
                    if v.flat[k] not in (0, 1):
                        changed = v.copy()
                        changed.flat[k] = new
                        yield _put(sample, target, changed)
                x = v.flat[k]
                if v.dtype.kind == "f" and np.isfinite(x) and x != np.round(x, 2):
                    changed = v.copy()
                    changed.flat[k] = np.round(x, 2)
                    yield _put(sample, target, changed)
