"""Sobol' sequences: points that fill the unit cube evenly."""
from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import flowtorch as torch

__all__ = ["SobolEngine"]

BITS = 30
_WEIGHTS = 1 << np.arange(BITS - 1, -1, -1, dtype=np.int64)


@cache
def _joe_kuo() -> tuple[np.ndarray, np.ndarray]:
    """(primitive polynomials, initial numbers) of Joe and Kuo (2008), as scipy brings them."""
    import scipy.stats

    with np.load(Path(scipy.stats.__file__).with_name("_sobol_direction_numbers.npz")) as numbers:
        return numbers["poly"], numbers["vinit"]


def _directions(dimension: int) -> np.ndarray:
    """The direction numbers of each dimension, (dimension, BITS), as integers of ``BITS`` bits."""
    polynomials, starts = _joe_kuo()
    v = np.ones((dimension, BITS), np.int64)
    for d in range(1, dimension):
        p = int(polynomials[d])
        m = p.bit_length() - 1
        row = [int(n) for n in starts[d, :m]]
        for j in range(m, BITS):
            new = row[j - m] ^ (row[j - m] << m)
            for k in range(1, m):
                if p >> (m - k) & 1:
                    new ^= row[j - k] << k
            row.append(new)
        v[d] = row[:BITS]
    return v * _WEIGHTS


def _mixed(state: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Each direction number, as a vector of bits, multiplied by its dimension's lower triangular matrix modulo 2."""
    lower = lower.copy()
    lower[:, range(BITS), range(BITS)] = 1
    bits = state[:, :, None] >> np.arange(BITS - 1, -1, -1) & 1
    return (np.matmul(bits, lower.swapaxes(1, 2)) & 1) @ _WEIGHTS


class SobolEngine:
    """Draws points of a (scrambled) Sobol' sequence of ``dimension`` dimensions, at most 21201.

    Sobol', 1967; direction numbers of Joe and Kuo, 2008; scrambling of Owen, 1998, and Matousek, 1998.
    """

    MAXBIT = BITS
    MAXDIM = 21201

    def __init__(self, dimension: int, scramble: bool = False, seed: int | None = None) -> None:
        if not 1 <= dimension <= self.MAXDIM:
            raise ValueError(f"Supported range of dimensionality for SobolEngine is [1, {self.MAXDIM}]")
        self.seed, self.scramble, self.dimension = seed, scramble, dimension
        self.sobolstate = torch.from_numpy(_directions(dimension))
        self.shift = torch.zeros(dimension, dtype=torch.long)
        if scramble:
            self._scramble()
        self.quasi = self.shift.clone()
        self._first_point = (self.quasi / 2**BITS).reshape(1, -1)
        self.num_generated = 0

    def _scramble(self) -> None:
        generator = None
        if self.seed is not None:
            generator = torch.Generator()
            generator.manual_seed(self.seed)
        digits = torch.randint(2, (self.dimension, BITS), generator=generator)
        self.shift = torch.mv(digits, torch.pow(2, torch.arange(BITS)))
        lower = torch.randint(2, (self.dimension, BITS, BITS), generator=generator).tril()
        self.sobolstate = torch.from_numpy(_mixed(self.sobolstate.numpy(), lower.numpy()))

    def _steps(self, n: int, start: int) -> np.ndarray:
        """The next ``n`` points as integers: in Gray code each differs from the one before by one direction number."""
        index = np.arange(start, start + n)
        lowest_zero = np.log2((~index & (index + 1)).astype(np.float64)).astype(np.int64)
        moves = self.sobolstate.numpy()[:, lowest_zero].T
        moves[:1] ^= self.quasi.numpy()
        return np.bitwise_xor.accumulate(moves, axis=0)

    def draw(self, n: int = 1, out: Any = None, dtype: Any = None) -> Any:
        """The next ``n`` points, (n, dimension), in [0, 1)."""
        dtype = torch.get_default_dtype() if dtype is None else dtype
        first = self.num_generated == 0
        steps = self._steps(n - first, max(self.num_generated - 1, 0))
        if len(steps):
            self.quasi = torch.from_numpy(steps[-1].copy())
        result = torch.from_numpy(steps).to(dtype) * 2.0**-BITS
        if first:
            result = torch.cat((self._first_point.to(dtype), result), -2)
        self.num_generated += n
        return result if out is None else out.resize_as_(result).copy_(result)

    def draw_base2(self, m: int, out: Any = None, dtype: Any = None) -> Any:
        """The next ``2**m`` points, which together with those before must be a power of two."""
        n = 2**m
        total = self.num_generated + n
        if total & (total - 1):
            raise ValueError(
                f"The balance properties of Sobol' points require n to be a power of 2. {self.num_generated} points "
                f"have been previously generated, then: n={self.num_generated}+2**{m}={total}. If you still want to do "
                "this, please use 'SobolEngine.draw()' instead.")
        return self.draw(n, out, dtype)

    def reset(self) -> SobolEngine:
        """Go back to the first point."""
        self.quasi = self.shift.clone()
        self.num_generated = 0
        return self

    def fast_forward(self, n: int) -> SobolEngine:
        """Leave out ``n`` points."""
        steps = self._steps(n - (self.num_generated == 0), max(self.num_generated - 1, 0))
        if len(steps):
            self.quasi = torch.from_numpy(steps[-1].copy())
        self.num_generated += n
        return self

    def __repr__(self) -> str:
        parts = [f"dimension={self.dimension}"]
        if self.scramble:
            parts.append("scramble=True")
        if self.seed is not None:
            parts.append(f"seed={self.seed}")
        return f"{type(self).__name__}({', '.join(parts)})"
