"""One verdict for one result: how it compares with the reference, and which of the two is right.

The reference is not assumed to be right. Where candidate and reference disagree beyond rounding, or always where an
exact value is given, both are held against the oracle.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errormodel import EPS, LARGEST, SUSPICIOUS, UNITS, allowance, signed_units, unit
from ..outcome import Outcome, Result, error_difference, meaningful
from .measure import Measure

# From best to worst.
VERDICTS = (
    "exact",
    "within model",
    "reference worse",
    "unsupported",
    "nondeterministic",
    "suspicious",
    "error mismatch",
    "stride mismatch",
    "alias mismatch",
    "shape mismatch",
    "dtype mismatch",
    "wrong",
)
GOOD = frozenset(VERDICTS[:3])
SEVERITY = {v: k for k, v in enumerate(VERDICTS)}


def worst(verdicts: Any) -> str:
    return max(verdicts, key=SEVERITY.__getitem__, default="exact")


class Finding:
    """What was found out about one result of one call."""

    __slots__ = ("measure", "text", "verdict")

    def __init__(self, verdict: str, text: str = "", measure: Measure | None = None) -> None:
        self.verdict, self.text, self.measure = verdict, text, measure

    def __repr__(self) -> str:
        return f"<{self.verdict}: {self.text}>"


def outcomes(
    expected: Outcome, got: Outcome, exact: Any = None, *, length: float = 1.0, factor: float = 1.0,
    faithful: bool = True, undefined: bool = False, stored: str = "", sums: bool = False, floor: float = 0.0,
    correct: bool = False, signs: bool = False,
) -> list[Finding]:  # fmt: skip
    """Findings on a whole call. ``exact``: a function that gives (values, spreads) when they are needed, or None.

    ``sums``: terms cancel, and may be as large as the largest result, or as ``floor``. ``correct``: the function
    rounds its exact result once, or moves numbers. ``signs``: the signs of zeros are part of the result.
    """
    if expected.error is not None or got.error is not None:
        return [_errors(expected, got, faithful)]
    if len(expected.results) != len(got.results):
        return [Finding("shape mismatch", f"{len(expected.results)} results expected, {len(got.results)} came")]
    known = _Once(exact, sums, floor)
    found = []
    for k, (e, g) in enumerate(zip(expected.results, got.results, strict=True)):
        found.append(one(e, g, lambda k=k: known.part(k), length, factor, faithful, undefined, stored, correct, signs))
    if faithful:
        judged = {r.alias[1] for r in expected.results if isinstance(r, Result) and r.alias and r.alias[0] == "is"}
        for k, (e, g) in enumerate(zip(expected.arguments or [], got.arguments or [], strict=False)):
            if k in judged:  # the result is that argument
                continue
            f = one(e, g, lambda: None, length, factor, faithful, undefined, stored)
            if f.verdict not in GOOD:
                found.append(Finding(f.verdict, f"argument {k} after the call: {f.text}", f.measure))
    return found


class _Once:
    """The exact values, asked for when the first result needs them."""

    def __init__(self, exact: Any, sums: bool, floor: float) -> None:
        self.exact, self.sums, self.floor, self.asked, self.known = exact, sums, floor, False, None

    def part(self, k: int) -> Any:
        if not self.asked:
            self.asked = True
            self.known = self.exact() if self.exact is not None else None
        if self.known is None or k >= len(self.known[0]) or self.known[0][k] is None:
            return None
        values, spread = self.known[0][k], self.known[1][k]
        if self.sums and values.size:  # partial sums may be as large as the largest result
            finite = np.abs(values[np.isfinite(values)])
            spread = spread + max(finite.max() if finite.size else 0.0, self.floor)
        return values, spread


def _errors(expected: Outcome, got: Outcome, faithful: bool) -> Finding:
    if isinstance(got.error, NotImplementedError) and expected.error is None:
        return Finding("unsupported", str(got.error).split("\n")[0][:120])
    if not faithful and expected.error is not None:
        return Finding("exact")  # the reference has no say here
    if not faithful:
        return Finding("unsupported", error_difference(expected, got)[0])  # what PyTorch refuses, others may take
    lines = error_difference(expected, got)
    return Finding("error mismatch", lines[0]) if lines else Finding("exact")


def one(
    e: Any, g: Any, exact: Any, length: float, factor: float, faithful: bool, undefined: bool, stored: str,
    correct: bool = False, signs: bool = False,
) -> Finding:  # fmt: skip
    """The finding on one result."""
    if not isinstance(e, Result) or not isinstance(g, Result):
        same = type(e) is type(g) and (e == g or (e != e and g != g))
        if not same and isinstance(e, float) and isinstance(g, float):
            return values(np.asarray(e), np.asarray(g), "float32", None, length, factor)
        names = ["a tensor" if isinstance(v, Result) else repr(v) for v in (e, g)]
        return Finding("exact") if same else Finding("wrong", f"value: expected {names[0]}, got {names[1]}")
    for kind, a, b in (("dtype", e.dtype, g.dtype), ("shape", e.shape, g.shape), ("alias", e.alias, g.alias)):
        if a != b and (faithful or kind == "shape"):
            return Finding(f"{kind} mismatch", f"{kind}: expected {a}, got {b}")
    if faithful and seen_strides(e) != seen_strides(g):
        return Finding("stride mismatch", f"strides: shape {e.shape} expected {e.strides}, got {g.strides}")
    if undefined:
        return Finding("exact")
    judged = stored or (g.dtype if faithful else coarser(e.dtype, g.dtype))
    found = values(e.values, g.values, judged, exact, length, factor, correct=correct and not stored)
    if signs and found.verdict in GOOD and (lost := zeros_of_other_sign(e.values, g.values)).any():
        return Finding("wrong", "sign of zero: " + _describe(lost, e.values, g.values, None), found.measure)
    return found


def coarser(expected: str, got: str) -> str:
    """The dtype that both sides can be held to: a reference with other rules may have computed in a narrower one."""
    return expected if EPS.get(expected, 0.0) > EPS.get(got, 1.0) else got


def seen_strides(r: Result) -> Any:
    """The strides that mean something: a view's are all its own."""
    return r.strides if r.alias and 0 not in r.shape else meaningful(r.strides, r.shape)


def _limit(exact: np.ndarray, dtype: str, length: float = 1.0, spread: Any = 0.0) -> np.ndarray:
    """The allowance; half precision is computed in float32 and rounded once: one unit, and what float32 loses."""
    if dtype not in ("float16", "bfloat16"):
        return allowance(exact, dtype, length, spread)
    own = allowance(exact, dtype, factor=1 / UNITS)
    return own + UNITS * EPS["float32"] * np.sqrt(max(length, 1.0)) * np.asarray(spread, np.float64)


def zeros_of_other_sign(e: np.ndarray, g: np.ndarray) -> np.ndarray:
    if e.dtype.kind != "f" or g.dtype.kind != "f":
        return np.zeros(e.shape, bool)
    return np.asarray((e == 0) & (g == 0) & (np.signbit(e) != np.signbit(g)))


def values(
    e: np.ndarray, g: np.ndarray, dtype: str, exact: Any, length: float = 1.0, factor: float = 1.0,
    always: bool = False, correct: bool = False,
) -> Finding:  # fmt: skip
    """The finding on the values alone. ``exact()`` gives (exact values, spreads) or None; ``always`` asks for it."""
    if dtype not in EPS or e.dtype.kind in "biu" or g.dtype.kind in "biu":
        return _whole_numbers(e, g, exact)
    measure = Measure()
    with np.errstate(all="ignore"):
        e = np.where(np.abs(e) > LARGEST[dtype], np.sign(e) * np.inf, e)  # a reference in a wider dtype
    same = _same_bits(e, g)
    if same.all() and not always:
        measure.add(np.zeros(e.size), e, g)
        return Finding("exact", measure=measure)
    if correct and e.dtype.kind == "f":
        return _rounded_once(e, g, dtype, exact, measure)
    if not always and not beyond(e, g, dtype, _limit(e, dtype)).any():
        measure.add(signed_units(g, e, dtype), e, g)
        return Finding("within model", measure=measure)
    truth = _real_truth(exact)
    if truth is None:
        # No oracle: the reference stands for it, and terms of a sum may have been as large as its largest element.
        finite = np.abs(e[np.isfinite(e)]) if e.size else np.zeros(1)
        spread = float(finite.max()) if (length > 1 or factor > 1) and finite.size else 0.0
        limit = allowance(e, dtype, length, spread, max(1.0, factor / UNITS))
        measure.add(signed_units(g, e, dtype), e, g)
        return _graded(beyond(e, g, dtype, limit), e, g, None, limit, measure, "within model")
    o, spread = truth
    blind = np.broadcast_to(np.isnan(spread), np.shape(o))  # nothing is known there
    spread = np.where(blind, 0.0, spread)
    limit = _limit(o, dtype, length, spread)
    measure.add(signed_units(g, o, dtype), o, g, reference=e)
    ours, theirs = beyond(o, g, dtype, limit), beyond(o, e, dtype, limit)
    with np.errstate(all="ignore"):  # nan, or too large for the narrower dtype
        unknown = ~(np.abs(o) <= LARGEST[dtype])
        narrow = np.where(unknown & ~np.isnan(o), np.sign(o.real) * np.inf, o.real) if o.dtype.kind != "c" else o
    apart = beyond(e, g, dtype, limit)  # there the reference decides, unless the oracle is on the candidate's side
    right = ~blind & ~beyond(narrow, g, dtype, limit)
    ours = np.where(unknown, apart & ~right, ours)
    theirs = np.where(unknown, apart & right, theirs)
    overflow = np.isinf(e) & np.isinf(g) & _same_bits(e, g)
    ours, theirs = ours & ~overflow, theirs & ~overflow
    with np.errstate(all="ignore"):  # what the reference misses by as much shows that the model is too tight there
        worse = np.abs(g - o) > 4 * np.abs(e - o)
        ours &= ~(np.abs(g - o) <= SUSPICIOUS * limit) | worse | unknown
    if dtype in ("float16", "bfloat16") and theirs.any():  # the reference rounds in between, and so may we
        full = allowance(o, dtype, length, spread)
        if (stepwise := ours & ~beyond(o, g, dtype, full)).any():
            ours, theirs = ours & ~stepwise, theirs & beyond(o, e, dtype, full)
    if not ours.any():
        if theirs.any():
            return Finding("reference worse", _describe(theirs, e, g, o), measure)
        return Finding("exact" if same.all() else "within model", measure=measure)
    found = _graded(ours, e, g, o, limit, measure, "within model")
    if (ours & theirs).any():
        found.text += "; the reference is wrong there too"
    return found


def _real_truth(exact: Any) -> Any:
    """(exact values, spreads) or None; a comparison that writes into ``out=`` has numbers for truths."""
    truth = exact() if exact is not None else None
    if truth is None or truth[0].dtype.kind not in "biu":
        return truth
    return truth[0].astype(np.float64), truth[1]


def _rounded_once(e: np.ndarray, g: np.ndarray, dtype: str, exact: Any, measure: Measure) -> Finding:
    """Both sides should be the exact value, rounded once: the only finding that needs no model."""
    if not beyond(e, g, dtype, np.zeros(e.shape)).any():  # but for signs of zeros
        measure.add(signed_units(g, e, dtype), e, g)
        return Finding("within model", measure=measure)
    truth = _real_truth(exact)
    o = e if truth is None else truth[0]
    half = 0.5001 * unit(o, dtype)
    ours, theirs = beyond(o, g, dtype, half), beyond(o, e, dtype, half)
    with np.errstate(all="ignore"):  # nan, or too large for the narrower dtype: there the reference decides
        unknown = ~(np.abs(o) <= LARGEST[dtype])
        ours = np.where(unknown, beyond(e, g, dtype, half), ours)
    measure.add(signed_units(g, o, dtype), o, g, reference=e)
    if not ours.any():
        theirs &= ~unknown
        worse = Finding("reference worse", _describe(theirs, e, g, o), measure)
        return worse if theirs.any() else Finding("within model", measure=measure)
    text = "rounded once by the reference: " if not (ours & theirs).any() else ""
    return Finding("suspicious" if text == "" else "wrong", text + _describe(ours, e, g, o), measure)


def _whole_numbers(e: np.ndarray, g: np.ndarray, exact: Any) -> Finding:
    if e.dtype.kind in "biu" and g.dtype.kind in "biu":
        different = e != g
    else:
        different = ~_same_bits(e, g)
    if not different.any():
        return Finding("exact")
    truth = exact() if exact is not None else None
    if truth is not None and np.array_equal(truth[0], g, equal_nan=g.dtype.kind in "fc"):
        return Finding("reference worse", _describe(different, e, g, truth[0]))
    return Finding("wrong", _describe(different, e, g, None))


def _same_bits(e: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Equal, nan for nan, and zeros of the same sign."""
    with np.errstate(all="ignore"):
        same = (e == g) | (np.isnan(e) & np.isnan(g))
        if e.dtype.kind == "f" and g.dtype.kind == "f":
            same &= (e != 0) | (np.signbit(e) == np.signbit(g))
    return np.asarray(same)


def beyond(exact: np.ndarray, got: np.ndarray, dtype: str, limit: np.ndarray) -> np.ndarray:
    """Where ``got`` is further from ``exact`` than the limit, or not finite where that is, or the reverse."""
    with np.errstate(all="ignore"):
        if exact.dtype.kind == "c" or got.dtype.kind == "c":
            neither = ~np.isfinite(exact) & ~np.isfinite(got)
            return ~((np.abs(got - exact) <= limit) | neither)
        e, g = exact.astype(np.float64), got.astype(np.float64)
        same = (e == g) | (np.isnan(e) & np.isnan(g))
        return ~(same | (np.isfinite(e) & (np.abs(g - e) <= limit)))


def _graded(
    far: np.ndarray, e: np.ndarray, g: np.ndarray, o: Any, limit: np.ndarray, measure: Measure, good: str
) -> Finding:
    if not far.any():
        return Finding(good, measure=measure)
    truth = e if o is None else o
    with np.errstate(all="ignore"):
        times = np.abs(g - truth) / np.maximum(limit, 1e-300)
    gross = far & ~(times <= SUSPICIOUS)  # nan counts
    return Finding("wrong" if gross.any() else "suspicious", _describe(far, e, g, o), measure)


def _describe(far: np.ndarray, e: np.ndarray, g: np.ndarray, o: Any) -> str:
    with np.errstate(all="ignore"):
        size = np.abs(np.where(far, (g * 1.0 - (e if o is None else o)), 0))
    at = np.unravel_index(int(np.argmax(np.where(np.isnan(size), np.inf, size) * far)), far.shape)
    if not far[at]:
        at = np.unravel_index(int(np.argmax(far)), far.shape)
    truth = "" if o is None else f", exactly {o[at]:.9g}"
    pair = f"expected {e[at]:.9g}, got {g[at]:.9g}{truth}"
    return f"{int(far.sum())} of {far.size} differ, at {tuple(map(int, at))} {pair}"
