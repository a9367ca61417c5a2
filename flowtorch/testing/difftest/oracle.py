"""The exact value, as near as it can be had: mpmath for functions of numbers, twice the precision for the rest.

An oracle sees the inputs that the candidate saw, rounded to the candidate's dtype and then widened. ``spread`` is how
much the exact value moves when each input moves by its own relative size: what the error model calls conditioning.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from .. import outcome
from ..errormodel import WIDE
from ..outcome import Outcome, cotangent_values
from ..samples import Array, Named, Sample, map_arguments
from .implementations import Library, _flowtorch


def numpy_dtype(dtype: str) -> np.dtype:
    """numpy's dtype of that name; bfloat16 comes from ml_dtypes."""
    if dtype == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype("complex64" if dtype == "complex32" else dtype)


def quantised(a: Array) -> np.ndarray:
    """The values of a tensor argument in its dtype."""
    with np.errstate(all="ignore"):
        return np.asarray(a.values).astype(numpy_dtype(a.dtype))


def widened(sample: Sample) -> Sample:
    """The call in twice the precision, on the same (already rounded) inputs, which lie in memory one after the other.

    Other layouts are left to the candidate: a fault of the reference in one must not become the truth.
    """

    def wide(a: Any) -> Any:
        if isinstance(a, Named):
            return Named(WIDE.get(a.name, a.name))
        if a.dtype in WIDE:
            return a.with_(dtype=WIDE[a.dtype], values=quantised(a).astype(WIDE[a.dtype]), layout="contiguous")
        return a.with_(layout="contiguous")

    args, kwargs = map_arguments(wide, (sample.args, sample.kwargs))
    return Sample(args, {k: v for k, v in kwargs.items() if k != "out"})


def perturbed(sample: Sample, relative: float, seed: int) -> Sample:
    """The call with every floating-point input moved by ``relative`` of itself, up or down at random."""
    rng = np.random.default_rng(seed)

    def move(a: Array) -> Array:
        if "float" not in a.dtype and "complex" not in a.dtype:
            return a
        with np.errstate(all="ignore"):
            return a.with_(values=a.values * (1 + relative * rng.choice([-1.0, 1.0], a.values.shape)))

    moved = sample.map_arrays(move)
    return Sample(moved.args, moved.kwargs, jitter=seed)


class Oracle(Library):
    """Double precision: torch's where it is installed (an implementation of its own), else flowtorch's."""

    faithful = False

    def __init__(self, library: Any = None) -> None:
        if library is None:
            if importlib.util.find_spec("torch") is not None:
                import torch as library
            else:
                library = _flowtorch()
        super().__init__(library, "oracle")

    def run(self, what: Any, sample: Sample, random: bool = False) -> Outcome:
        return super().run(what, widened(sample), random)

    def gradients(self, what: Any, sample: Sample, random: bool = False, double: bool = False) -> Outcome:
        return super().gradients(what, widened(sample), random, double)

    def exact(self, what: Any, sample: Sample) -> tuple[list[np.ndarray | None], list[Any]] | None:
        """(exact values of the results, their spreads), None for a result without; None if the oracle cannot."""
        return exact_with(lambda s: super(Oracle, self).run(what, s), sample)


def exact_with(run: Any, sample: Sample) -> tuple[list[np.ndarray | None], list[Any]] | None:
    """See ``Oracle.exact``; ``run`` computes a widened sample."""
    base = widened(sample)
    outcomes = [run(base)] + [run(perturbed(base, 2.0**-30, seed)) for seed in range(1, 7)]
    if any(o.error is not None for o in outcomes):
        return None
    first, *moved = (o.results for o in outcomes)
    if any(len(m) != len(first) for m in moved):
        return None
    values: list[np.ndarray | None] = []
    spreads: list[Any] = []
    for k, r in enumerate(first):
        if not isinstance(r, outcome.Result) or any(not same_shape(r, m[k]) for m in moved):
            values.append(None)
            spreads.append(0.0)
            continue
        with np.errstate(all="ignore"):
            change = np.max([np.abs(m[k].values * 1.0 - r.values * 1.0) for m in moved], axis=0) * 2.0**30
        values.append(r.values)
        spreads.append(smoothed(change))
    return values, spreads


def same_shape(a: Any, b: Any) -> bool:
    return isinstance(b, outcome.Result) and a.shape == b.shape


def smoothed(change: np.ndarray) -> np.ndarray:
    """No element less than a tenth of the typical one: two random moves may cancel where the next ones would not."""
    finite = change[np.isfinite(change)]
    return np.maximum(np.where(np.isfinite(change), change, 0), 0.1 * float(np.median(finite)) if finite.size else 0)


# ---------------------------------------------------------------- functions of numbers


def _table(mp: Any) -> dict[str, Any]:
    """The function of a number that each public name stands for."""

    def gelu(x: Any) -> Any:
        return x * mp.erfc(-x / mp.sqrt(2)) / 2

    def lifted(name: str) -> Any:
        return getattr(mp, name)

    one = mp.mpf(1)
    same = ("exp", "expm1", "sin", "cos", "tan", "sinh", "cosh", "tanh", "asin", "acos", "atan", "asinh", "acosh",
            "atanh", "sqrt", "log", "log1p", "log10", "erf", "erfc", "erfinv", "digamma")  # fmt: skip
    table = {n: lifted(n) for n in same}
    table |= {
        "log2": lambda x: mp.log(x, 2),
        "exp2": lambda x: mp.power(2, x),
        "rsqrt": lambda x: 1 / mp.sqrt(x),
        "reciprocal": lambda x: 1 / x,
        "square": lambda x: x * x,
        "polygamma": lambda x, n: mp.psi(n, x),
        "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
        "lgamma": lambda x: mp.log(abs(mp.gamma(x))),
        "sinc": lambda x: one if x == 0 else mp.sinpi(x) / (mp.pi * x),
        "logit": lambda x: mp.log(x / (1 - x)),
        "deg2rad": lambda x: x * mp.pi / 180,
        "rad2deg": lambda x: x * 180 / mp.pi,
        "i0": lambda x: mp.besseli(0, x),
        "special.i0e": lambda x: mp.besseli(0, x) * mp.exp(-abs(x)),
        "special.i1": lambda x: mp.besseli(1, x),
        "special.i1e": lambda x: mp.besseli(1, x) * mp.exp(-abs(x)),
        "special.bessel_j0": lambda x: mp.besselj(0, x),
        "special.bessel_j1": lambda x: mp.besselj(1, x),
        "special.bessel_y0": lambda x: mp.bessely(0, x) if x > 0 else mp.mpf("nan"),
        "special.bessel_y1": lambda x: mp.bessely(1, x) if x > 0 else mp.mpf("nan"),
        "special.modified_bessel_i0": lambda x: mp.besseli(0, x),
        "special.modified_bessel_i1": lambda x: mp.besseli(1, x),
        "special.modified_bessel_k0": lambda x: mp.besselk(0, x),
        "special.modified_bessel_k1": lambda x: mp.besselk(1, x),
        "special.scaled_modified_bessel_k0": lambda x: mp.besselk(0, x) * mp.exp(x),
        "special.scaled_modified_bessel_k1": lambda x: mp.besselk(1, x) * mp.exp(x),
        "special.spherical_bessel_j0": lambda x: one if x == 0 else mp.sin(x) / x,
        "special.airy_ai": mp.airyai,
        "special.erfcx": lambda x: mp.exp(x * x) * mp.erfc(x),
        "special.ndtr": mp.ncdf,
        "special.log_ndtr": lambda x: mp.log1p(-mp.ncdf(-x)) if x > 0 else mp.log(mp.ncdf(x)),
        "special.ndtri": lambda x: mp.sqrt(2) * mp.erfinv(2 * x - 1),
        "special.entr": lambda x: -x * mp.log(x) if x > 0 else mp.mpf(0),
        "nn.functional.gelu": gelu,
        "nn.functional.silu": lambda x: x / (1 + mp.exp(-x)),
        "nn.functional.mish": lambda x: x * mp.tanh(mp.log1p(mp.exp(x))),
        "nn.functional.softplus": lambda x: x if x > 20 else mp.log1p(mp.exp(x)),
        "nn.functional.logsigmoid": lambda x: -mp.log1p(mp.exp(-x)),
        "nn.functional.elu": lambda x: x if x > 0 else mp.expm1(x),
        "nn.functional.selu": lambda x: (
            mp.mpf("1.0507009873554804934193349852946")
            * (x if x > 0 else mp.mpf("1.6732632423543772848170429916717") * mp.expm1(x))
        ),
        "nn.functional.softsign": lambda x: x / (1 + abs(x)),
        "nn.functional.tanhshrink": lambda x: x - mp.tanh(x),
        "nn.functional.hardswish": lambda x: x * min(max(x + 3, 0), 6) / 6,
        "nn.functional.hardsigmoid": lambda x: min(max(x + 3, 0), 6) / mp.mpf(6),
    }
    aliases = {"special.expit": "sigmoid", "special.erf": "erf", "special.erfc": "erfc", "special.log1p": "log1p"}
    aliases |= {"special.expm1": "expm1", "special.exp2": "exp2", "special.gammaln": "lgamma", "special.i0": "i0"}
    aliases |= {"special.psi": "digamma", "special.digamma": "digamma", "special.sinc": "sinc"}
    aliases |= {"special.erfinv": "erfinv"}
    return table | {alias: table[name] for alias, name in aliases.items()}


NUMBERS = ("float64", "float32", "int64", "int32", "int16", "int8", "uint8")


class Numbers:
    """The functions of one real number that mpmath knows, to as many digits as rounding them needs."""

    def __init__(self) -> None:
        import mpmath

        self.mp = mpmath.mp.clone() if hasattr(mpmath.mp, "clone") else mpmath.mp
        self.mp.dps = 40
        self.table = _table(self.mp)

    def __contains__(self, name: str) -> bool:
        return name in self.table

    def sample(self, name: Any, sample: Sample) -> Any:
        """(exact values, spreads) for a call of one real tensor beside plain integers; None for any other."""
        name = name.removeprefix("Tensor.")
        arrays = Sample(sample.args, {}).arrays()
        others = [a for a in sample.args if not isinstance(a, Array)]
        if name not in self.table or len(arrays) != 1 or arrays[0].dtype not in NUMBERS:
            return None
        if set(sample.kwargs) - {"out"} or not all(type(a) is int for a in others) or arrays[0].values.size > 1000:
            return None
        if len(others) != (name == "polygamma"):
            return None
        values, spread = self.exact(name, quantised(arrays[0]).astype(np.float64), *others)
        return [values], [spread]

    def gradients(self, name: str, sample: Sample, double: bool) -> Any:
        """The same of the first (and the second) derivatives, as ``outcome.gradients`` lists them; None for others."""
        if self.sample(name, sample) is None or sample.arrays()[0].dtype != "float64":
            return None
        name, x = name.removeprefix("Tensor."), quantised(sample.arrays()[0])
        others = [a for a in sample.args if not isinstance(a, Array)]
        values: list[np.ndarray | None] = [None]  # whether the result requires a gradient comes first
        spreads, scale = [0.0], cotangent_values(x.shape, 0)
        for order in (1, 2) if double else (1,):
            found, spread = self.exact(name, x, *others, order=order)
            values.append(found * scale)
            spreads.append(spread * np.abs(scale))
            scale = scale * cotangent_values(x.shape, 9)
        return values, spreads

    def exact(self, name: str, x: np.ndarray, *others: int, order: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """(values, spreads) of the function, or its derivative, at each x, as float64.

        Both are nan where there is no finite real value, or none is known.
        """
        table = self.table[name]

        def f(number: Any) -> Any:
            if order:
                return self.mp.diff(lambda x: table(x, *others), number, order)
            return table(number, *others)

        values, moved = np.full(x.shape, np.nan), np.full(x.shape, np.nan)
        step = self.mp.mpf(2) ** -30 / self.mp.pi  # irrational: no way leads from one zero of a sine to another
        for k, number in np.ndenumerate(x):
            if np.isfinite(number):
                values[k], moved[k] = self.one(f, self.mp.mpf(float(number)), step)
        return values, np.where(np.isfinite(moved) | np.isnan(values), moved, 0.0)

    def one(self, f: Any, x: Any, step: Any) -> tuple[float, float]:
        try:
            y = f(x)
            if isinstance(y, self.mp.mpc):
                return float("nan"), float("nan")
            try:
                change = abs(f(x * (1 + step)) - y) / step
                change = 0.0 if isinstance(change, self.mp.mpc) else float(change)
            except (ValueError, ZeroDivisionError, OverflowError):
                change = 0.0
            return float(y), change
        except (ValueError, ZeroDivisionError, OverflowError, TypeError, self.mp.NoConvergence):
            return float("nan"), float("nan")
