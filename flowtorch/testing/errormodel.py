"""How large an error may be: units in the last place by dtype, reduction length and conditioning.

The allowance for one element is ``UNITS`` units of its dtype's precision at its own size (what any correct rounding
of the result costs), and for functions that add things up ``UNITS * sqrt(length)`` units of what the result moves by
when each input moves by its own relative size (what rounding the inputs or partial sums costs). The second part is
measured, not declared: see ``oracle.spread``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# Two correct implementations of a function differ by a few units in the last place; low-precision results are
# computed in float32 and rounded once, so they may fall on the other side of one rounding.
UNITS = 4
EPS = {
    "float64": 2.0**-52,
    "float32": 2.0**-23,
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "complex128": 2.0**-52,
    "complex64": 2.0**-23,
    "complex32": 2.0**-10,
}
TINY = {"float64": 2.0**-1074, "float32": 2.0**-149, "float16": 2.0**-24, "bfloat16": 2.0**-133}
TINY |= {"complex128": TINY["float64"], "complex64": TINY["float32"], "complex32": TINY["float16"]}
# Products with a factor that has underflowed: x * sigmoid(x), for one, where x is a few hundred below zero.
UNDERFLOW = {d: (512 if d in ("float64", "float32", "complex128", "complex64") else 2) * t for d, t in TINY.items()}
LEAST_EXPONENT = {"float64": -1022, "float32": -126, "float16": -14, "bfloat16": -126}
LEAST_EXPONENT |= {"complex128": -1022, "complex64": -126, "complex32": -14}
LARGEST = {"float64": 1.7976931348623157e308, "float32": 3.4028235e38, "float16": 65504.0, "bfloat16": 3.3895314e38}
LARGEST |= {"complex128": LARGEST["float64"], "complex64": LARGEST["float32"], "complex32": LARGEST["float16"]}
WIDE = {"float32": "float64", "float16": "float64", "bfloat16": "float64", "complex64": "complex128"}
SUSPICIOUS = 16.0  # so many times the allowance is still no proof


def unit(x: Any, dtype: str) -> np.ndarray:
    """The distance between neighbouring numbers of ``dtype`` at the size of ``x``, as float64."""
    size = np.abs(np.asarray(x)).astype(np.float64)
    with np.errstate(all="ignore"):
        _, exponent = np.frexp(np.where(np.isfinite(size), size, 1.0))
        exponent = np.maximum(np.where(size == 0, -9999, exponent - 1), LEAST_EXPONENT[dtype])
        return np.maximum(np.ldexp(EPS[dtype], exponent), TINY[dtype])


def signed_units(got: Any, exact: Any, dtype: str) -> np.ndarray:
    """The error of each element in units in the last place: negative below the exact value; nan where not finite.

    The error of a complex number is its distance, which has no sign.
    """
    got, exact = np.asarray(got), np.asarray(exact)
    if dtype not in EPS:
        return (got != exact).astype(np.float64)
    with np.errstate(all="ignore"):
        if got.dtype.kind == "c" or exact.dtype.kind == "c":
            error = np.abs(got.astype(np.complex128) - exact)
        else:
            error = got.astype(np.float64) - exact.astype(np.float64)
        error = np.where(np.asarray(got == exact), 0.0, error / unit(exact, dtype))
        return np.where(np.isfinite(exact) & np.isfinite(got) | (got == exact), error, np.nan)


def allowance(
    exact: np.ndarray, dtype: str, length: float = 1.0, spread: Any = 0.0, factor: float = 1.0
) -> np.ndarray:
    """How far each element may be from ``exact``: see the module. ``length`` is the number of terms of a sum."""
    with np.errstate(all="ignore"):
        size = np.where(np.isfinite(exact), np.abs(exact), 0.0)
        own = UNITS * factor * EPS[dtype] * size + UNDERFLOW[dtype]
        return own + UNITS * EPS[dtype] * np.sqrt(max(length, 1.0)) * np.asarray(spread, np.float64)


def reduction_length(inputs: list[tuple], outputs: list[tuple]) -> float:
    """About how many terms one element of the outputs adds up, from the shapes alone.

    A reduction has as many as inputs go into one output; a product of matrices (m, k) and (k, n) gives k from
    ``m k * k n / m n``.
    """
    sizes = sorted((float(np.prod(s)) for s in inputs if len(s)), reverse=True)
    out = max([float(np.prod(s)) for s in outputs] or [1.0]) or 1.0
    if not sizes or not sizes[0]:
        return 1.0
    length = max(sizes[0] / out, 1.0)
    if len(sizes) > 1:
        length = max(length, float(np.sqrt(sizes[0] * sizes[1] / out)) if sizes[0] != out else 1.0)
    return min(length, sizes[0])


# ---------------------------------------------------------------- the rule of the test matrix


def out_of_tolerance(e: np.ndarray, g: np.ndarray, dtype: str, factor: float = 1.0) -> np.ndarray:
    """Where ``g`` is further from the reference ``e`` than two correct implementations can be.

    Without an oracle: sums (``factor`` > 1), whose terms cancel, are held against the largest element.
    """
    if e.dtype.kind == "c":
        # One part may cancel: the modulus measures the rounding of both. Which parts of a complex result become nan
        # when one of them is infinite, IEEE arithmetic leaves to the order of operations.
        with np.errstate(all="ignore"):
            near = np.abs(e - g) <= UNITS * factor * EPS[dtype] * (np.abs(e) + scale(e, factor)) + 2 * TINY["float32"]
        return ~(near | (~np.isfinite(e) & ~np.isfinite(g)))
    with np.errstate(all="ignore"):
        e, g = e.astype(np.float64), g.astype(np.float64)
        allowed = UNITS * factor * EPS[dtype] * (np.abs(e) + scale(e, factor)) + 2 * TINY[dtype]
        same = (e == g) | (np.isnan(e) & np.isnan(g)) | (np.abs(e - g) <= np.where(np.isfinite(e), allowed, 0))
    return ~same


def scale(e: np.ndarray, factor: float) -> float:
    """What cancelled terms may have been as large as; nothing for pointwise functions."""
    if factor <= 1:
        return 0.0
    finite = np.abs(e[np.isfinite(e)])
    return float(finite.max()) if finite.size else 0.0
