"""Exponential and logarithm in single precision by the fastest of numpy's loops that keep their digits.

On processors with AVX-512 numpy has Intel's vector functions for most of its single-precision ufuncs, at 0.2 to 0.5
nanoseconds a number and one to two units of error. Its exp and log are its own there, slower and less exact.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from flowtorch.array.blocks import BLOCK, fill

_TWO = np.full((), 2, np.float32)
_LOG2E = math.log2(math.e)
_LN2 = np.full((), math.log(2), np.float32)  # a twentieth of a unit off


@functools.cache
def _has_vectors(name: str) -> bool:
    """Whether the ufunc's loop in single precision is Intel's; elsewhere it calls the C library for every number."""
    from numpy.lib import introspect  # on first use

    loops = introspect.opt_func_info(func_name=f"^{name}$", signature="float32").get(name, {})
    return any("AVX512" in loop["current"] or "X86_V4" in loop["current"] for loop in loops.values())


def one_plus_exp(x: np.ndarray, out: np.ndarray) -> None:
    """Write ``1 + exp(x)`` for real ``x``, exact to rounding where the exponential is small."""
    if x.dtype == np.float32 and _has_vectors("expm1"):
        np.expm1(x, out)
        out += _TWO
    else:
        np.exp(x, out)
        out += 1


def exp_of_multiple(x: np.ndarray, factor: float, out: np.ndarray) -> None:
    """Write ``exp(factor * x)`` in single precision; the product is rounded, to a part in 10^7 of itself."""
    if _has_vectors("exp2"):
        np.multiply(x, factor * _LOG2E, out)
        np.exp2(out, out)
    else:
        np.multiply(x, factor, out)
        np.exp(out, out)


def log(x: np.ndarray) -> np.ndarray:
    """The natural logarithm; in single precision to two and a half units."""
    if x.dtype != np.float32:
        return np.log(x)
    return fill(_log_block, x) if x.size > BLOCK else np.multiply(np.log2(x), _LN2)


def _log_block(part: np.ndarray, out: np.ndarray) -> None:
    np.log2(part, out)
    out *= _LN2
