"""Numbers about errors that add up over many calls: signed histogram of units in the last place, quantiles, worst."""

from __future__ import annotations

from typing import Any

import numpy as np

# Bins of the histogram: powers of two from half a unit, both signs, and the exact ones in the middle.
EDGES = np.array([0.0, 0.5, 1, 2, 4, 8, 16, 64, 256, 4096, 65536, np.inf])
KEPT = 4000


class Measure:
    """Errors of many elements. ``units`` are signed; the worst element is kept with what led to it."""

    def __init__(self) -> None:
        self.count = self.nans = self.infinities = self.zero_signs = 0
        self.histogram = np.zeros(2 * len(EDGES) - 1, np.int64)
        self.kept: list[np.ndarray] = []
        self.max_units = self.max_absolute = self.max_relative = 0.0
        self.reference_units = 0.0
        self.worst: dict[str, Any] = {}

    def add(self, units: np.ndarray, exact: np.ndarray, got: np.ndarray, reference: Any = None) -> None:
        """Note the elements of one result: ``units`` against ``exact``; ``reference`` is what the other side gave."""
        units = np.asarray(units, np.float64).ravel()
        e, g = np.asarray(exact).ravel(), np.asarray(got).ravel()
        self.count += e.size
        if not e.size:
            return
        with np.errstate(all="ignore"):
            self.nans += int((np.isnan(e) != np.isnan(g)).sum())
            self.infinities += int((np.isinf(e) != np.isinf(g)).sum())
            if e.dtype.kind == "f" and g.dtype.kind == "f":
                self.zero_signs += int(((e == 0) & (g == 0) & (np.signbit(e) != np.signbit(g))).sum())
            finite = np.isfinite(units)
            u = units[finite]
            if u.size:
                self._note(u, e[finite], g[finite], np.flatnonzero(finite), reference)

    def _note(self, u: np.ndarray, e: np.ndarray, g: np.ndarray, where: np.ndarray, reference: Any) -> None:
        size = np.abs(u)
        place = np.searchsorted(EDGES, size, side="left")  # 0 for exact ones
        middle = len(EDGES) - 1
        place = np.minimum(place, middle)
        self.histogram += np.bincount(middle + np.where(u < 0, -place, place), minlength=self.histogram.size)
        self.kept.append(np.minimum(size[:KEPT], 1e30).astype(np.float32))
        absolute = np.abs(g - e)
        self.max_absolute = max(self.max_absolute, float(absolute.max()))
        nonzero = e != 0
        if nonzero.any():
            self.max_relative = max(self.max_relative, float((absolute[nonzero] / np.abs(e[nonzero])).max()))
        k = int(np.argmax(size))
        if size[k] > self.max_units:
            self.max_units = float(size[k])
            self.worst = {"index": int(where[k]), "got": hexed(g[k]), "exact": hexed(e[k])}
            if reference is not None:
                self.worst["reference"] = hexed(np.asarray(reference).ravel()[where[k]])

    def merge(self, other: Measure) -> bool:
        """Add another's numbers; True if its worst element is the worst now."""
        for name in ("count", "nans", "infinities", "zero_signs", "histogram"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.kept.extend(other.kept)
        if len(self.kept) > 64:
            self.kept = [np.concatenate(self.kept)[-16 * KEPT :]]
        self.max_absolute = max(self.max_absolute, other.max_absolute)
        self.max_relative = max(self.max_relative, other.max_relative)
        self.reference_units = max(self.reference_units, other.reference_units)
        if other.max_units > self.max_units:
            self.max_units, self.worst = other.max_units, other.worst
            return True
        return False

    def quantiles(self) -> tuple[float, float, float]:
        """p50, p99 and p99.9 of the size of the error in units."""
        if not self.kept:
            return 0.0, 0.0, 0.0
        p = np.quantile(np.concatenate(self.kept), (0.5, 0.99, 0.999))
        return float(p[0]), float(p[1]), float(p[2])


def hexed(x: Any) -> str:
    """A number with all its bits and as people read it."""
    x = x.item() if hasattr(x, "item") else x
    if isinstance(x, complex):
        return f"{x.real.hex()} + {x.imag.hex()}j ({x:.9g})"
    return f"{x.hex()} ({x:.9g})" if isinstance(x, float) else repr(x)
