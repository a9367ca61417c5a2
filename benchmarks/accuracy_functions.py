"""The functions of numbers whose accuracy is measured: their domains, and what they are exactly.

``exact`` works on mpmath numbers. The functions of one number come from the oracle of ``flowtorch.testing``; here
stand their domains, and the functions of two.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

FULL = (0.0, math.inf)


@dataclass(frozen=True)
class Function:
    """``size``: bounds of the magnitudes; ``signs``: which signs; ``dense``: an interval to cover evenly as well."""

    name: str
    exact: Callable
    size: tuple[float, float] = FULL
    signs: str = "both"
    dense: tuple[float, float] = (-12.0, 12.0)
    operands: int = 1
    extra: tuple = ()
    note: str = ""


_POSITIVE = {"signs": "positive", "dense": (0.01, 20.0)}
_UNIT = {"size": (0.0, 1.0), "dense": (-1.0, 1.0)}
_BESSEL = {"size": (1e-6, 1e3), "dense": (-30.0, 30.0)}

# name -> what differs from the whole real line
_DOMAINS: dict[str, dict] = {
    "exp": {}, "expm1": {}, "exp2": {}, "sin": {}, "cos": {}, "tan": {}, "sinh": {}, "cosh": {}, "tanh": {},
    "asin": _UNIT, "acos": _UNIT, "atan": {}, "asinh": {}, "acosh": {"size": (1.0, math.inf), **_POSITIVE,
                                                                  "dense": (1.0, 20.0)},
    "atanh": _UNIT, "sqrt": _POSITIVE, "rsqrt": _POSITIVE, "reciprocal": {}, "square": {},
    "log": _POSITIVE, "log2": _POSITIVE, "log10": _POSITIVE, "log1p": {"size": (0.0, math.inf), **_POSITIVE,
                                                                  "dense": (-0.99, 20.0)},
    "erf": {}, "erfc": {"dense": (-6.0, 25.0)}, "erfinv": _UNIT, "sigmoid": {},
    "logit": {"size": (0.0, 1.0), "signs": "positive", "dense": (0.0, 1.0)},
    "lgamma": {"size": (1e-30, 1e15), "dense": (-20.3, 20.0)},
    "digamma": {"size": (1e-30, 1e15), "dense": (-20.3, 20.0)},
    "sinc": {"size": (0.0, 1e6)}, "deg2rad": {}, "rad2deg": {},
    "i0": {"size": (1e-30, 700.0)}, "special.i0e": {"size": (1e-30, 1e4)},
    "special.i1": {"size": (1e-30, 700.0)}, "special.i1e": {"size": (1e-30, 1e4)},
    "special.bessel_j0": _BESSEL, "special.bessel_j1": _BESSEL,
    "special.bessel_y0": {**_BESSEL, "signs": "positive", "dense": (0.01, 30.0)},
    "special.bessel_y1": {**_BESSEL, "signs": "positive", "dense": (0.01, 30.0)},
    "special.erfcx": {"size": (1e-30, 1e15), "dense": (-5.0, 50.0)},
    "special.ndtr": {"dense": (-37.0, 8.0)}, "special.log_ndtr": {"size": (1e-30, 1e15), "dense": (-40.0, 8.0)},
    "special.ndtri": {"size": (1e-12, 1.0), "signs": "positive", "dense": (0.0, 1.0)},
    "special.entr": {**_POSITIVE, "size": (1e-30, 1e30)},
    "nn.functional.gelu": {"dense": (-13.0, 13.0)}, "nn.functional.silu": {"dense": (-80.0, 30.0)},
    "nn.functional.mish": {}, "nn.functional.softplus": {}, "nn.functional.logsigmoid": {},
    "nn.functional.elu": {}, "nn.functional.selu": {}, "nn.functional.softsign": {},
    "nn.functional.tanhshrink": {}, "nn.functional.hardswish": {}, "nn.functional.hardsigmoid": {},
}


def _overrides(mp: Any) -> dict[str, Callable]:
    """Exact forms that stay quick and right over the whole domain."""
    return {
        "lgamma": lambda x: mp.re(mp.loggamma(x)),
        "sigmoid": lambda x: 1 / (1 + mp.exp(-x)) if x > -3000 else mp.mpf(0),
        "nn.functional.silu": lambda x: x / (1 + mp.exp(-x)) if x > -3000 else mp.mpf(0),
        "nn.functional.logsigmoid": lambda x: -mp.log1p(mp.exp(-x)) if x > -3000 else x,
        "nn.functional.mish": lambda x: (
            mp.mpf(0) if x < -3000 else x if x > 3000 else x * mp.tanh(mp.log1p(mp.exp(x)))),
        "special.log_ndtr": lambda x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2) if x < 5 else mp.log1p(
            -mp.erfc(x / mp.sqrt(2)) / 2),
        "special.erfcx": lambda x: mp.exp(x * x) * mp.erfc(x) if x < 1e4 else (
            1 - 1 / (2 * x * x) + 3 / (4 * x**4)) / (x * mp.sqrt(mp.pi)),
        "asinh": lambda x: mp.asinh(x) if abs(x) > 1e-12 else x - x**3 / 6 + 3 * x**5 / 40,
        "atanh": lambda x: mp.atanh(x) if abs(x) > 1e-12 else x + x**3 / 3 + x**5 / 5,
        "tanh": lambda x: mp.tanh(x) if abs(x) < 3000 else mp.sign(x),
        "nn.functional.tanhshrink": lambda x: (
            x - mp.sign(x) if abs(x) > 3000 else x - mp.tanh(x) if abs(x) > 1e-3 else
            x**3 / 3 - 2 * x**5 / 15 + 17 * x**7 / 315 - 62 * x**9 / 2835),
        "nn.functional.gelu": lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2 if x > -3000 else mp.mpf(0),
        "special.ndtr": lambda x: mp.erfc(-x / mp.sqrt(2)) / 2 if x > -3000 else mp.mpf(0),
        "exp": lambda x: _clamped(mp, mp.exp, x), "exp2": lambda x: _clamped(mp, lambda y: mp.power(2, y), x),
        "expm1": lambda x: _clamped(mp, mp.expm1, x), "sinh": lambda x: _clamped(mp, mp.sinh, x),
        "cosh": lambda x: _clamped(mp, mp.cosh, x),
        "nn.functional.elu": lambda x: x if x > 0 else _clamped(mp, mp.expm1, x),
    }


def _clamped(mp: Any, f: Callable, x: Any) -> Any:
    """``f``, whose result beyond 5000 is beyond every format anyway: mpmath would write out all of it."""
    return f(max(min(x, mp.mpf(5000)), mp.mpf(-5000)))


def _binary(mp: Any) -> list[Function]:
    def logaddexp(x: Any, y: Any) -> Any:
        high, low = max(x, y), min(x, y)
        return high + mp.log1p(mp.exp(low - high)) if high - low < 3000 else high

    def remainder(x: Any, y: Any) -> Any:
        return x - y * mp.floor(x / y)

    def zeta(x: Any, q: Any) -> Any:
        """By Euler and Maclaurin: mpmath's own has so many digits after the point, and results go to 1e-107."""
        end = q + 60
        tail = end**-x * (end / (x - 1) + mp.mpf(1) / 2)
        factor = x * end ** (-x - 1)
        for j in range(1, 25):
            tail += mp.bernoulli(2 * j) / mp.factorial(2 * j) * factor
            factor *= (x + 2 * j - 1) * (x + 2 * j) / end**2
        return tail + mp.fsum((q + k) ** -x for k in range(60))

    moderate = {"operands": 2, "size": (1e-6, 1e3)}
    return [
        Function("atan2", mp.atan2, operands=2),
        Function("hypot", mp.hypot, operands=2),
        Function("div", lambda x, y: x / y, operands=2),
        Function("pow", mp.power, operands=2, size=(1e-3, 1e2), signs="positive", dense=(0.01, 20.0)),
        Function("fmod", lambda x, y: mp.sign(x) * (abs(x) - abs(y) * mp.floor(abs(x) / abs(y))), **moderate),
        Function("remainder", remainder, **moderate),
        Function("logaddexp", logaddexp, **moderate),
        Function("logaddexp2", lambda x, y: logaddexp(x * mp.ln2, y * mp.ln2) / mp.ln2, **moderate),
        Function("xlogy", lambda x, y: x * mp.log(y), operands=2, signs="positive", dense=(0.01, 20.0),
                 size=(1e-15, 1e15)),
        Function("special.xlog1py", lambda x, y: x * mp.log1p(y), operands=2, signs="positive", dense=(0.01, 20.0),
                 size=(1e-15, 1e15)),
        Function("special.zeta", zeta, operands=2, signs="positive", size=(1.5, 60.0), dense=(1.1, 30.0)),
        Function("igamma", lambda a, x: mp.gammainc(a, 0, x, regularized=True), operands=2, signs="positive",
                 size=(0.1, 60.0), dense=(0.1, 30.0)),
        Function("igammac", lambda a, x: mp.gammainc(a, x, mp.inf, regularized=True), operands=2, signs="positive",
                 size=(0.1, 60.0), dense=(0.1, 30.0)),
    ]


def functions() -> tuple[Any, list[Function]]:
    """(the mpmath context, the functions)."""
    from flowtorch.testing.difftest.oracle import Numbers

    numbers = Numbers()
    mp = numbers.mp
    table = {**numbers.table, **_overrides(mp)}
    found = [Function(name, table[name], **options) for name, options in _DOMAINS.items()]
    for n in (1, 2, 3):
        found.append(Function(f"polygamma({n})", lambda x, n=n: mp.psi(n, x), size=(1e-6, 1e6), signs="positive",
                              dense=(0.05, 30.0), extra=(n,)))
    return mp, found + _binary(mp)
