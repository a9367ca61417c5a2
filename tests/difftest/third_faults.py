"""The third set of planted faults: other ops and other kinds than the first two, chosen before it was tried.

``mutation.py --book third`` plants and counts them.
"""

import sys
from pathlib import Path

import numpy as np

import flowtorch
import flowtorch.nn.functional
from flowtorch.tensor import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from held_out_faults import of, real, single, wrapped
from planting import Faults, array, swapped

FAULTS = Faults()
out, given, gradient, elsewhere = FAULTS.out, FAULTS.given, FAULTS.gradient, FAULTS.elsewhere
F = flowtorch.nn.functional

# ---------------------------------------------------------------- pointwise

P = "pointwise"
out(P, "log2", real(lambda a, v: a * (1 + 3e-7)), "log2: a constant cut short")
out(P, "cosh", real(lambda a, v: np.where(np.abs(array(v[0])) > 80, np.inf, a)), "cosh: overflows early")
out(P, "asinh", real(lambda a, v: np.log(array(v[0]) + np.sqrt(array(v[0]) ** 2 + 1))), "asinh: cancels below zero")
given(P, "addcdiv", swapped("tensor1", "tensor2"), "quotient upside down")
given(P, "lerp", lambda v: {"weight": v["weight"] * v["weight"]}, "weight squared")
out(P, "fmin", real(lambda a, v: np.where(np.isnan(array(v[0])), np.nan, a)), "fmin: takes the first nan")
out(P, "nextafter", lambda a, v: a + (array(v[0]) == array(v[1])) * np.finfo(a.dtype).tiny, "nextafter: moves equals")
out(P, "gcd", lambda a, v: np.where(array(v[0]) < 0, -a, a).astype(a.dtype), "gcd: takes a sign")
out(P, "frac", real(lambda a, v: array(v[0]) - np.floor(array(v[0]))), "frac: of negative numbers")
out(P, "heaviside", real(lambda a, v: np.where(array(v[0]) == 0, 0.5, a)), "heaviside: a half at zero")
out(P, "signbit", lambda a, v: array(v[0]) < 0, "signbit: of minus zero")
out(P, "mish", of(np.float32, lambda a, v: a.astype(np.float16)), "mish: float16 inside")
out(P, "softshrink", real(lambda a, v: np.where(np.isnan(a), 0, a)), "softshrink: nan swallowed")
gradient(P, "pow", lambda g: g * 1.0001, "of the exponent", 1)
gradient(P, "atan2", lambda g: -g, "sign of the second", 1)
gradient(P, "log_sigmoid", lambda g: g.clamp(-0.9, 0.9), "clipped")
gradient(P, "logaddexp", lambda g: g.detach(), "not differentiable again")
gradient(P, "_gelu_backward", lambda g: g * 0.99, "second order of gelu", 1)
gradient(P, "hypot", lambda g: g * g.new_tensor(1.0).neg(), "sign", 0)
elsewhere(P, "sigmoid_: a copy is changed", ["sigmoid"], Tensor, "sigmoid_",
          lambda original: lambda self: original(self.clone()))  # fmt: skip
elsewhere(P, "clamp_: keeps the gradient of clipped elements", ["clamp"], Tensor, "clamp_",
          lambda original: lambda self, *a, **k: self.add_((self.detach().clamp(*a, **k) - self).detach()))  # fmt: skip

# ---------------------------------------------------------------- reductions and sorting

R = "reduction"
out(R, "_std", real(lambda a, v: np.sqrt(a * a + 1e-6)), "_std: an epsilon inside")
out(R, "count_nonzero", lambda a, v: a.astype(np.int32), "count_nonzero: int32")
out(R, "_vector_norm", of(np.float32, lambda a, v: a.astype(np.float16)), "_vector_norm: float16 accumulation")
out(R, "amin", real(lambda a, v: np.where(np.isnan(a), 0, a)), "amin: nan swallowed")
gradient(R, "mean", lambda g: g * 1.25, "wrong weighting")
gradient(R, "cumprod", lambda g: g * 1.001, "slightly off")
given("sorting", "kthvalue", lambda v: {"k": max(v["k"] - 1, 1)}, "off by one")
given("sorting", "_searchsorted", lambda v: {"right": not v["right"]}, "the other side of ties")
out("sorting", "mode", lambda a, v: a + (a.size > 0), "mode: index off by one", which=1)

# ---------------------------------------------------------------- views, indexing

V = "view"
given(V, "diagonal", lambda v: {"offset": v["offset"] + 1 if v["offset"] > 0 else v["offset"]}, "offset off by one")
out(V, "permute", lambda a, v: np.ascontiguousarray(a), "permute: output stride lost")
given(V, "roll", lambda v: {"shifts": tuple(-s for s in v["shifts"]) if isinstance(v["shifts"], tuple)
                            else -v["shifts"]}, "the other way")  # fmt: skip
gradient(V, "flip", lambda g: g.roll(1, -1) if g.ndim else g, "rolled")
gradient(V, "index_select", lambda g: g.clamp(-1.2, 1.2) if isinstance(g, Tensor) else g, "repeats count once")
given("indexing", "index_copy", lambda v: {"source": v["source"] * 2}, "source doubled")
out("indexing", "bincount", lambda a, v: a.astype(np.float32) if a.dtype == np.float64 else a, "bincount: float32 sums")

# ---------------------------------------------------------------- linear algebra, special functions

L = "linear algebra"
given(L, "_cholesky", lambda v: {"upper": False}, "upper ignored")
given(L, "_solve_triangular", lambda v: {"unitriangular": False}, "unit diagonal ignored")
out(L, "mv", of(np.float32, lambda a, v: a.astype(np.float16)), "mv: float16 accumulation")
out(L, "_fft_r2c", of(np.complex128, lambda a, v: a.astype(np.complex64)), "_fft_r2c: double in single")
gradient(L, "_inv", lambda g: g.mT, "transposed")
gradient(L, "matmul", lambda g: g * (1 + 1e-6), "the sixth digit", 0)
out("special", "lgamma", real(lambda a, v: np.where(array(v[0]) < 0, -a, a)), "lgamma: sign below zero")
out("special", "zeta", of(np.float64, single), "zeta: double in single")
gradient("special", "i0e", lambda g: g * 1.01, "slightly off")

# ---------------------------------------------------------------- networks, random numbers

N = "networks"
given(N, "convolution", lambda v: {"dilation": tuple(max(d - 1, 1) for d in v["dilation"])}, "dilation off by one")
given(N, "_standardize", lambda v: {"eps": v["eps"] * 10}, "wrong epsilon")
out(N, "_mse_loss", real(lambda a, v: a * 0.5 if a.ndim == 0 else a), "_mse_loss: half of it")
out(N, "gru_layer", real(lambda a, v: a * 0.999), "gru_layer: slightly off")
gradient(N, "_prelu_kernel", lambda g: g * 1.01, "of the weight", 1)
gradient(N, "resample", lambda g: g * 0.99, "lost at the edge")
gradient(N, "embedding", lambda g: g * 1.0001, "slightly off")
elsewhere(N, "dropout1d: scaled twice", ["nn.functional.dropout1d"], F, "dropout1d",
          wrapped(lambda r, a, k: r * 2 if k.get("training", True) and (a[1:] or (0.5,))[0] else r))  # fmt: skip
given("random", "cauchy_", lambda v: {"sigma": v["sigma"] * 2}, "scale doubled")
out("random", "geometric_", lambda a, v: a - 1, "geometric_: from zero")
out("random", "poisson", lambda a, v: a + (a > 30), "poisson: large counts off by one")
