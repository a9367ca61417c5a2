"""Hypothesis strategies for tensors: shapes that fit together, memory layouts, special values, ties, empties.

They give ``Array``s (see ``samples``), which any library can build; ``calls(...)`` puts them together as arguments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from ..samples import Array, Sample, laid_out
from ..samples_pointwise import special_values

FLOATS = ("float32", "float64", "bfloat16", "float16")
LAYOUTS = ("contiguous", "transposed", "strided", "offset", "expanded", "overlapping")


def shapes(min_dims: int = 0, max_dims: int = 4, min_side: int = 0, max_side: int = 5) -> st.SearchStrategy[tuple]:
    """Shapes, 0-d and empty ones among them."""
    return st.lists(st.integers(min_side, max_side), min_size=min_dims, max_size=max_dims).map(tuple)


@st.composite
def broadcastable(draw: Any, count: int = 2, **options: Any) -> tuple:
    """``count`` shapes that broadcast together: dimensions left out in front, or of size one."""
    whole = draw(shapes(**options))
    made = []
    for _ in range(count):
        start = draw(st.integers(0, len(whole)))
        made.append(tuple(1 if draw(st.booleans()) and n != 1 and draw(st.booleans()) else n for n in whole[start:]))
    return tuple(made)


@st.composite
def products(draw: Any, max_side: int = 5, batched: bool = True) -> tuple:
    """Two shapes whose matrices can be multiplied, batch dimensions broadcasting."""
    side = st.integers(1, max_side)
    m, k, n = draw(side), draw(side), draw(side)
    a, b = draw(broadcastable(2, max_dims=2, min_side=1, max_side=3)) if batched else ((), ())
    return (*a, m, k), (*b, k, n)


def numbers(dtype: str, specials: bool = True, low: float = -10.0, high: float = 10.0) -> st.SearchStrategy:
    """Values of a dtype: simple ones first, with the ones at which functions go wrong."""
    if dtype == "bool":
        return st.booleans()
    if "int" in dtype:
        inside = st.integers(0 if dtype.startswith("u") else max(-100, int(low)), min(100, int(high)))
        return st.one_of(inside, st.sampled_from(special_values(dtype))) if specials else inside
    if "complex" in dtype:
        part = numbers("float32", specials, low, high)
        return st.builds(complex, part, part)
    width = {"float16": 16, "bfloat16": 16}.get(dtype, 32)
    finite = st.floats(low, high, width=width, allow_nan=False)  # type: ignore[arg-type]
    return st.one_of(finite, st.sampled_from(special_values(dtype))) if specials else finite


@st.composite
def tensors(
    draw: Any, shape: Any = None, dtype: Any = "float32", layout: Any = None, specials: bool = False,
    ties: bool | None = None, low: float = -10.0, high: float = 10.0, grad: bool = True,
) -> Array:  # fmt: skip
    """A tensor. ``shape``, ``dtype`` and ``layout`` may be strategies; ``ties``: from very few different values."""
    shape = draw(shapes() if shape is None else _strategy(shape))
    dtype = draw(_strategy(dtype))
    layout = draw(st.just("contiguous") if layout is None else _strategy(layout))
    count = int(np.prod(shape))
    pool = numbers(dtype, specials, low, high)
    if ties or (ties is None and draw(st.integers(0, 4)) == 4):
        few = draw(st.lists(pool, min_size=1, max_size=2))
        pool = st.sampled_from(few)
    flat = draw(st.lists(pool, min_size=count, max_size=count)) if count <= 12 else _many(draw, pool, count)
    kind = {"bool": bool}.get(
        dtype, np.int64 if "int" in dtype else np.complex128 if "complex" in dtype else np.float64
    )
    values = np.asarray(flat, dtype=kind).reshape(shape)
    return laid_out(Array(values, dtype, grad=grad and ("float" in dtype or "complex" in dtype)), layout)


def _many(draw: Any, pool: Any, count: int) -> list:
    """Many values from a few drawn ones: drawing each would be slow and shrink badly."""
    few = draw(st.lists(pool, min_size=4, max_size=12))
    return np.random.default_rng(draw(st.integers(0, 2**16))).choice(np.asarray(few, dtype=object), count).tolist()


def _strategy(value: Any) -> st.SearchStrategy:
    if isinstance(value, st.SearchStrategy):
        return value
    if isinstance(value, tuple) and value and all(isinstance(v, str) for v in value):
        return st.sampled_from(value)
    return st.just(value)


def layouts() -> st.SearchStrategy[str]:
    """How a tensor lies in memory, the plain way first."""
    return st.sampled_from(LAYOUTS)


@st.composite
def huge(draw: Any, dtype: str = "float32", elements: int = 2**31 + 8) -> Array:
    """A tensor of more elements than 32 bits can count, all of them one number in memory."""
    other = draw(st.integers(1, 3))
    shape = draw(st.permutations([elements, *([1] * other)]))
    value = np.float64(draw(st.integers(-4, 4)))
    return Array(np.broadcast_to(value, tuple(shape)), dtype, layout="virtual")


def backwards(a: np.ndarray) -> np.ndarray:
    """The same values in memory that runs backwards, for functions that take numpy arrays."""
    flipped = tuple(slice(None, None, -1) for _ in a.shape)
    return a[flipped].copy()[flipped]


@st.composite
def calls(draw: Any, *arguments: Any, **keywords: Any) -> Sample:
    """A call: each argument a strategy or a plain value."""
    args = tuple(draw(a) if isinstance(a, st.SearchStrategy) else a for a in arguments)
    return Sample(args, {k: draw(v) if isinstance(v, st.SearchStrategy) else v for k, v in keywords.items()})


@st.composite
def pointwise(draw: Any, count: int = 1, dtype: Any = FLOATS, **options: Any) -> Sample:
    """A call of ``count`` tensors of one dtype that broadcast together, in any layouts."""
    dtype = draw(_strategy(dtype))
    fitting = draw(broadcastable(count))
    if not {"low", "high"} & set(options) and draw(st.integers(0, 3)) == 3:  # where other formulas begin
        options = {**options, "low": -1e3, "high": 1e3}
    return Sample(tuple(draw(tensors(s, dtype, layouts(), **options)) for s in fitting), {})


@st.composite
def matrices(draw: Any, dtype: Any = ("float32", "float64"), **options: Any) -> Sample:
    """A call of two tensors that can be multiplied as matrices."""
    dtype = draw(_strategy(dtype))
    return Sample(tuple(draw(tensors(s, dtype, layouts(), **options)) for s in draw(products())), {})


@st.composite
def reductions(draw: Any, dtype: Any = FLOATS, **options: Any) -> Sample:
    """A call of a tensor and one of its dimensions, with or without keepdim."""
    a = draw(tensors(shapes(1, 4, 1), _strategy(dtype), layouts(), **options))
    dim = draw(st.integers(-a.values.ndim, a.values.ndim - 1))
    return Sample((a, dim), {"keepdim": True} if draw(st.booleans()) else {})
