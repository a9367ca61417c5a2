"""The first set of planted faults: the tester was built with these at hand. ``mutation.py`` plants and counts them.

With DIFFTEST_FAULT=NAME in the environment, running this file (``difftest run --preload``) plants that one.
"""

import os
import sys
from pathlib import Path

import numpy as np

import flowtorch
import flowtorch.nn.functional
from flowtorch.autograd import engine
from flowtorch.tensor import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from planting import Faults, array, changed_compute, doc, floats, rounded16, swapped

FAULTS = Faults()
out, given, gradient, elsewhere = FAULTS.out, FAULTS.given, FAULTS.gradient, FAULTS.elsewhere

# ---------------------------------------------------------------- pointwise

P = "pointwise"
out(P, "exp", doc("wrong constant", floats(lambda a, v: a * a.dtype.type(1.00001))))
given(P, "sub", swapped("input", "other"), "arguments swapped")
given(P, "atan2", swapped("input", "other"), "arguments swapped")
out(P, "sigmoid", doc("saturates too early", floats(lambda a, v: np.clip(a, 0.06, None) if a.dtype.kind == "f" else a)))
out(P, "relu", doc("nan swallowed", floats(lambda a, v: np.where(np.isnan(a), 0, a).astype(a.dtype))))
out(P, "maximum", doc("nan swallowed", floats(lambda a, v: np.where(np.isnan(a), 1, a).astype(a.dtype))))
out(P, "gelu", doc("tail cut off", lambda a, v: np.where(array(v[0]) < -2, 0, a).astype(a.dtype)))
out(P, "softplus", doc("threshold too low", lambda a, v: np.where(array(v[0]) > 2, array(v[0]), a).astype(a.dtype)))
out(P, "log1p", doc("cancels near zero", lambda a, v: np.log(1 + array(v[0]).astype(a.dtype)).astype(a.dtype)))
out(P, "expm1", doc("cancels near zero", lambda a, v: (np.exp(array(v[0]).astype(a.dtype)) - 1).astype(a.dtype)))
out(P, "round", doc("ties go up", floats(lambda a, v: np.floor(array(v[0]) + 0.5).astype(a.dtype))))
out(P, "floor_divide", doc("truncates", lambda a, v: np.trunc(array(v[0]) / array(v[1])).astype(a.dtype)))
out(P, "remainder", doc("takes the other sign", lambda a, v: np.fmod(array(v[0]), array(v[1])).astype(a.dtype)))
given(P, "where", swapped("input", "other"), "branches swapped")
out(P, "ge", doc("misses equality", lambda a, v: array(v[0]) > array(v[1])))
out(
    P, "true_divide", doc("wrong promotion", lambda a, v: a.astype(np.float64) if array(v[0]).dtype.kind in "iu" else a)
)
out(P, "add", doc("mixed dtypes promote too far", lambda a, v: a.astype(np.float64)
                  if a.dtype == np.float32 and array(v[0]).dtype != array(v[1]).dtype else a))  # fmt: skip
out(P, "isnan", doc("takes inf for nan", lambda a, v: ~np.isfinite(array(v[0]))))
out(P, "abs", doc("off at the least integer and minus zero", lambda a, v: np.where(a == 0, array(v[0]), a)))
out(P, "erf", doc("low precision inside", lambda a, v: rounded16(a)))
out(P, "bitwise_xor", doc("is or", lambda a, v: np.bitwise_or(array(v[0]), array(v[1])).astype(a.dtype)))
given(P, "addcmul", lambda v: {"value": 1}, "value ignored")
given(P, "clamp", lambda v: {"max": None}, "upper bound ignored")
given(P, "lerp", swapped("input", "end"), "ends swapped")
out(P, "sign", doc("of zero is one", floats(lambda a, v: np.where(a == 0, 1, a).astype(a.dtype))))
gradient(P, "mul", lambda g: g * 2, "a factor too much", 0)
gradient(P, "true_divide", lambda g: -g, "sign of the divisor's", 1)
gradient(P, "tanh", lambda g: g * 1.0001, "slightly off")
gradient(P, "sqrt", lambda g: g * 2, "half forgotten")
gradient(P, "exp", lambda g: g.detach(), "not differentiable again")

# ---------------------------------------------------------------- reductions, scans, sorting

R = "reduction"
out(R, "sum", doc("low-precision accumulation", floats(lambda a, v: rounded16(a))))
given(R, "amax", lambda v: {"keepdim": not v["keepdim"]}, "keepdim inverted")
out(R, "mean", doc("divides by one more", floats(lambda a, v: a * a.dtype.type(0.9))))
given(R, "_var", lambda v: {"correction": 0}, "correction ignored")
out(
    R, "argmax",
    doc("last of equal ones", lambda a, v: a if v[1] is not None or array(v[0]).dtype.kind == "b"
        else np.asarray(array(v[0]).size - 1 - array(v[0]).ravel()[::-1].argmax())),
)  # fmt: skip
out(R, "all", doc("of nothing is false", lambda a, v: np.logical_and(a, array(v[0]).size > 0)))
out(
    R,
    "_logsumexp",
    doc("no shift by the largest", floats(lambda a, v: np.where(np.abs(a) > 2, np.inf, a).astype(a.dtype))),
)
gradient(R, "sum", lambda g: g * 1.5, "wrong scale")
gradient(R, "_prod_all", lambda g: -g, "sign")
out("scan", "cumsum", doc("exclusive", lambda a, v: a - array(v[0]).astype(a.dtype) if a.dtype != bool else a))
out(
    "scan", "cummax", doc("starts anew half way", lambda a, v: np.minimum(a, array(v[0])) if a.dtype.kind == "f" else a)
)
given("scan", "cumprod", lambda v: {"dim": 0}, "always along the first dimension")
given("sorting", "sort", lambda v: {"descending": not v["descending"]}, "direction")
given("sorting", "topk", lambda v: {"largest": True}, "smallest ignored")
given("sorting", "kthvalue", lambda v: {"k": max(v["k"] - 1, 1)}, "k off by one")
out(
    "sorting", "_median_all",
    doc("upper of the two", lambda a, v: np.sort(array(v[0]), None)[array(v[0]).size // 2]
        if array(v[0]).size and a.dtype.kind == "f" else a),
)  # fmt: skip
given("sorting", "_searchsorted", lambda v: {"right": not v["right"]} if "right" in v else {}, "side inverted")

# ---------------------------------------------------------------- views and rearranging

V = "view"


def offset_by_one(a, values):
    """off-by-one stride"""
    if a.ndim < 2 or a.shape[0] < 2 or a.size < 3:
        return a
    return np.lib.stride_tricks.as_strided(a, a.shape, (a.strides[0] - a.itemsize, *a.strides[1:]))


def copied(a, values):
    """aliasing lost"""
    return a.copy(order="K")


out(V, "transpose", copied)
out(V, "expand", copied, "expand: aliasing lost")
out(V, "unfold", offset_by_one)
given(V, "select", lambda v: {"index": v["index"] - 1 if v["index"] > 0 else v["index"]}, "off by one")
given(V, "as_strided", lambda v: {"storage_offset": None}, "offset ignored")
given(V, "diagonal", lambda v: {"offset": 0}, "offset ignored")
out(V, "permute", doc("sign flipped", lambda a, v: -a if a.dtype.kind in "fc" else a))
given("rearrange", "roll", lambda v: {"shifts": [-s for s in v["shifts"]] if isinstance(v["shifts"], (list, tuple))
                                      else -v["shifts"]}, "direction")  # fmt: skip
given("rearrange", "flip", lambda v: {"dims": tuple(v["dims"])[:1]}, "only the first dimension")
out("rearrange", "repeat", doc("interleaves", lambda a, v: np.sort(a, axis=None).reshape(a.shape)))
gradient(V, "unfold", lambda g: g * (g != g.max()), "an element lost")

# ---------------------------------------------------------------- indexing and writing

X = "indexing"
given(X, "gather", lambda v: {"index": v["index"].flip(0)}, "indices reversed")
out(
    X,
    "scatter_add",
    doc("duplicates overwrite", lambda a, v: np.minimum(a, array(v[0]) + 1) if a.dtype.kind == "f" else a),
)
given(X, "index_add", lambda v: {"alpha": 1}, "alpha ignored")
given(X, "_masked_fill", lambda v: {"mask": ~v["mask"]}, "mask inverted")
given(X, "tril", lambda v: {"diagonal": v["diagonal"] + 1}, "diagonal off by one")
given(X, "index_select", lambda v: {"index": v["index"] * 0}, "always the first index")
gradient(X, "embedding", lambda g: g + 1e-3, "rows that nobody asked for")
gradient(X, "gather", lambda g: g.clamp(max=1.0), "duplicates overwrite")

# ---------------------------------------------------------------- linear algebra, transforms

L = "linear algebra"
out(L, "matmul", doc("low-precision accumulation", floats(lambda a, v: rounded16(a))))
out(L, "bmm", doc("batches reversed", floats(lambda a, v: a[::-1].copy())))
given(L, "linear", lambda v: {"bias": None}, "bias forgotten")
out(
    L,
    "_solve",
    doc("a digit lost", floats(lambda a, v: a * (1 + 1e-9 * (a.dtype == np.float64) + 1e-3 * (a.dtype == np.float32)))),
)
out(
    L,
    "_cholesky",
    doc("sign of a column", floats(lambda a, v: a * np.where(np.arange(a.shape[-1]), 1, -1).astype(a.dtype))),
)
gradient(L, "matmul", lambda g: g.flip(0), "rows flipped", 1)
gradient(L, "linear", lambda g: g * 0.5, "of the bias", 2)
out(L, "_fft_c2c", doc("conjugated", lambda a, v: a.conj()))
out("special", "i0", doc("wrong constant", floats(lambda a, v: a * a.dtype.type(1 + 1e-5))))

# ---------------------------------------------------------------- networks

N = "networks"
out(N, "_softmax", doc("does not add up to one", floats(lambda a, v: a * a.dtype.type(0.9999))))
gradient(N, "_log_softmax", lambda g: g + 0.01, "a term forgotten")
given(N, "_layer_norm", lambda v: {"eps": 0.0} if "eps" in v else {}, "eps forgotten")
gradient(N, "_layer_norm", lambda g: g * 1.01, "slightly off", 0)
given(N, "convolution", lambda v: {"weight": v["weight"].flip(-1)}, "kernel flipped")
gradient(N, "convolution", lambda g: g * 1.001, "of the weight", 1)
out(N, "_max_pool", doc("nan swallowed", floats(lambda a, v: np.where(a < 0, 0, a).astype(a.dtype))))
out(N, "_avg_pool", doc("divides by the wrong count", floats(lambda a, v: a * a.dtype.type(1.25))))
out(
    N,
    "constant_pad_nd",
    doc("value forgotten", floats(lambda a, v: np.where(a == a.flat[0], 0, a).astype(a.dtype) if a.size else a)),
)
out(N, "attention", doc("columns permuted", floats(lambda a, v: a[..., ::-1].copy())))
given(N, "_nll_loss", lambda v: {"weight": None} if "weight" in v else {}, "weights ignored")
out(N, "_mse_loss", doc("squares forgotten", floats(lambda a, v: np.sqrt(np.abs(a)))))
out(N, "_cross_entropy", doc("low precision inside", floats(lambda a, v: rounded16(a))))
out(N, "resample", doc("shifted by one", floats(lambda a, v: np.roll(a, 1, -1))))

# ---------------------------------------------------------------- random numbers, the engine


def stale(compute):
    def altered(op, values):
        state = flowtorch.get_rng_state()
        result = compute(op, values)
        flowtorch.set_rng_state(state)
        return result

    return altered


for _name in ("uniform_", "normal_"):
    FAULTS[f"{_name}: stale random state"] = "random", [_name], lambda n=_name: changed_compute(n, stale)
out("random", "bernoulli_", doc("probabilities inverted", lambda a, v: 1 - a if a.dtype.kind == "f" else a))
elsewhere("engine", "missing broadcast reduction in gradients", ["add", "mul"], Tensor, "sum_to_size",
          lambda f: lambda self, *size: self[tuple(slice(0, 1) for _ in self.shape)].expand(self.shape).mul(
              self.numel() > 0).reshape(-1)[: int(np.prod(size[0] if len(size) == 1 else size))].reshape(
              size[0] if len(size) == 1 else size))  # fmt: skip
elsewhere(
    "engine", "a gradient that meets another is lost", ["mul", "where"], engine, "added", lambda f: lambda a, b: a
)

if fault := os.environ.get("DIFFTEST_FAULT"):
    PLANTED = FAULTS[fault][2]()
    PLANTED.__enter__()
