"""The second set of planted faults, chosen before the tester was tried on any of them: what it finds among these is
what it may be expected to find elsewhere. ``mutation.py --held-out`` plants and counts them.
"""

import itertools
import sys
from pathlib import Path

import numpy as np

import flowtorch
import flowtorch.nn.functional
from flowtorch.tensor import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from planting import Faults, array, doc, floats

FAULTS = Faults()
out, given, gradient, elsewhere = FAULTS.out, FAULTS.given, FAULTS.gradient, FAULTS.elsewhere
F = flowtorch.nn.functional


def real(f):
    """Only results of real floating-point dtypes are changed."""

    def change(a, v):
        return np.asarray(f(a, v)).astype(a.dtype) if a.dtype.kind == "f" else a

    return change


def of(dtype, f):
    """Only results of one dtype are changed."""
    return lambda a, v: np.asarray(f(a, v)).astype(a.dtype) if a.dtype == dtype else a


def scattered(f):
    """Only where the first argument does not lie in memory row after row."""
    return real(lambda a, v: a if array(v[0]).flags.c_contiguous else f(a, v))


def shorter(bits):
    """The last bits of float16 cleared."""
    return of(np.float16, lambda a, v: (a.view(np.uint16) & np.uint16(0xFFFF << bits & 0xFFFF)).view(np.float16))


def single(a, v):
    return a.astype(np.float32)


def every_second_time(f):
    count = itertools.count()
    return lambda a, *rest: f(a, *rest) if next(count) % 2 else a


def wrapped(change):
    """A public function whose result goes through ``change(result, args, kwargs)``."""
    return lambda original: lambda *args, **kwargs: change(original(*args, **kwargs), args, kwargs)


def raising(before, after):
    """A public function that raises ``after`` where it should raise ``before``."""

    def new(original):
        def altered(*args, **kwargs):
            try:
                return original(*args, **kwargs)
            except before as error:
                raise after(str(error)) from None

        return altered

    return new


# ---------------------------------------------------------------- pointwise

P = "pointwise"
out(P, "exp", real(lambda a, v: np.nextafter(a, np.inf, dtype=a.dtype)), "exp: always one unit too large")


@floats
def truncated(a, v):
    if a.dtype != np.float32:
        return a
    with np.errstate(all="ignore"):
        exact = array(v[0]).astype(np.float64) / array(v[1]).astype(np.float64)
        return np.where(np.abs(a) > np.abs(exact), np.nextafter(a, np.float32(0)), a)


out(P, "true_divide", truncated, "true_divide: float32 truncated, not rounded")
out(P, "add", shorter(1), "add: float16 loses a bit")
out(P, "log", scattered(lambda a, v: a * 1.001), "log: wrong where memory is not contiguous")
out(
    P,
    "sub",
    real(lambda a, v: a + 0.5 if any(1 in x.shape and x.shape != a.shape for x in map(array, v[:2])) else a),
    "sub: wrong beside a dimension of size one",
)
out(P, "tanh", real(lambda a, v: np.where(a == 0, 0, a)), "tanh: sign of zero lost")
out(
    P,
    "sqrt",
    real(lambda a, v: np.where(array(v[0]) < np.finfo(a.dtype).tiny, np.minimum(a, 0), a)),
    "sqrt: subnormal numbers flushed",
)
out(P, "hypot", real(lambda a, v: np.sqrt(array(v[0]) ** 2 + array(v[1]) ** 2)), "hypot: overflows")
out(P, "pow", real(lambda a, v: np.where(array(v[0]) < 0, np.nan, a)), "pow: nan for negative bases")
out(
    P,
    "logaddexp",
    real(lambda a, v: np.where(np.isneginf(array(v[0])) & np.isneginf(array(v[1])), np.nan, a)),
    "logaddexp: nan for two infinities",
)
out(P, "erfinv", real(lambda a, v: np.clip(a, -5, 5)), "erfinv: finite at the ends")
out(P, "atan2", real(lambda a, v: np.arctan2(array(v[0]) + 0.0, array(v[1]) + 0.0)), "atan2: signs of zeros ignored")
out(
    P,
    "bitwise_left_shift",
    of(np.uint8, lambda a, v: np.minimum(array(v[0]).astype(int) << array(v[1]), 255)),
    "bitwise_left_shift: uint8 saturates",
)
out(
    P,
    "copysign",
    real(lambda a, v: np.where(array(v[1]) == 0, np.abs(a), a)),
    "copysign: a minus zero has no sign",
)
out(P, "xlogy", real(lambda a, v: np.where(array(v[0]) == 0, 0, a)), "xlogy: zero times nan is zero")
out(P, "eq", doc("nan equals nan", lambda a, v: a | ((array(v[0]) != array(v[0])) & (array(v[1]) != array(v[1])))))
out(P, "rsqrt", every_second_time(real(lambda a, v: a * 1.001)), "rsqrt: wrong every second time")
out(P, "digamma", real(lambda a, v: np.where(np.isinf(a), np.nan, a)), "digamma: nan at the pole")
gradient(
    P, "maximum", lambda g, x, y: g + g * (x == y).to(g.dtype), "all of it to both where they are equal"
)  # saved: both inputs
gradient(P, "abs", lambda g, x: g + (x == 0).to(g.dtype), "one at zero")
gradient(P, "hardtanh", lambda g, x: g + (x == 1).to(g.dtype), "passes at the upper bound")
gradient(P, "hardswish", lambda g, x: g + 0.5 * (x == 3).to(g.dtype), "wrong at the upper kink")
gradient(P, "_sigmoid_backward", lambda g: g * 1.5, "wrong in the second order", 1)
gradient(P, "_silu_backward", lambda g: g * 1.01, "wrong in the second order", 1)
gradient(P, "square", every_second_time(lambda g: g * 1.5), "wrong every second time")
gradient(P, "mul", lambda g, x: g.conj() if g.is_complex() else g, "conjugated", 0)
elsewhere(P, "where: requires_grad lost", ["where"], flowtorch, "where", wrapped(lambda r, a, k: r.detach()))


def unnoticed(original):
    """In-place, but the version counter says that nothing happened."""

    def altered(self, *args, **kwargs):
        fresh = self.detach().clone()
        fresh = getattr(fresh, original.__name__)(*args, **kwargs)
        np.copyto(self._array, fresh._array)
        return self

    return altered


elsewhere(P, "mul_: version bump forgotten", ["mul"], Tensor, "mul_", unnoticed)
elsewhere(P, "add_: gives another tensor back", ["add"], Tensor, "add_", wrapped(lambda r, a, k: r.clone()))


def never_refused(original):
    def altered(self, *args, **kwargs):
        with flowtorch.no_grad():
            return original(self, *args, **kwargs)

    return altered


elsewhere(P, "exp_: overwrites leaves that require a gradient", ["exp"], Tensor, "exp_", never_refused)


def out_forgotten(original):
    def altered(*args, out=None, **kwargs):
        return original(*args, **kwargs)

    return altered


def out_of_any_dtype(original):
    def altered(*args, out=None, **kwargs):
        result = original(*args, **kwargs)
        return result if out is None else out.resize_(result.shape).copy_(result)

    return altered


elsewhere(P, "sub: out= is not written", ["sub"], flowtorch, "sub", out_forgotten)
elsewhere(P, "exp: out= of any dtype", ["exp"], flowtorch, "exp", out_of_any_dtype)

# ---------------------------------------------------------------- reductions, scans, sorting

R = "reduction"
out(R, "sum", scattered(lambda a, v: a * 1.001), "sum: wrong where memory is not contiguous")
out(R, "mean", shorter(2), "mean: float16 loses two bits")
gradient(R, "amax", lambda g, x, y, d: (g != 0).to(g.dtype) * g.amax() if isinstance(g, Tensor) else g, "not shared")
out(R, "_prod_all", doc("of nothing is zero", lambda a, v: a * (array(v[0]).size > 0)))
out(R, "_var", real(lambda a, v: np.where(np.isnan(a), 0, a)), "_var: of one element is zero")
out(
    R,
    "argmin",
    lambda a, v: np.asarray(np.nanargmin(array(v[0]))) if v[1] is None and array(v[0]).dtype.kind == "f" else a,
    "argmin: skips nan",
)
out(R, "_logsumexp", real(lambda a, v: np.where(np.isneginf(a), np.nan, a)), "_logsumexp: nan for minus infinities")
out(R, "any", doc("of uint8 is bool", lambda a, v: a.astype(bool)))
out("scan", "cumsum", lambda a, v: a.astype(np.int32) if array(v[0]).dtype == np.int32 else a, "cumsum: int32 stays")


def first_of_equal(a, v):
    x, dim = array(v[0]), v[1]
    if x.dtype.kind != "f" or not x.ndim or not x.size:
        return a
    x = np.moveaxis(np.minimum.accumulate(x, dim), dim, 0)
    a = np.moveaxis(a.copy(), dim, 0)
    for k in range(1, len(x)):
        a[k] = np.where(x[k] == x[k - 1], a[k - 1], a[k])
    return np.moveaxis(a, 0, dim)


out("scan", "cummin", first_of_equal, "cummin: index of the first of equal ones", which=1)
out("scan", "logcumsumexp", of(np.float64, single), "logcumsumexp: float64 computed in float32")
gradient("scan", "cumsum", lambda g: g * (1 + 1e-9), "the ninth digit")


def equals_reversed(a, v):
    x, dim = array(v[0]), v[1]
    if v[2] or not x.ndim or not x.size:
        return a
    return x.shape[dim] - 1 - np.argsort(np.flip(x, dim), dim, kind="stable")


out("sorting", "sort", equals_reversed, "sort: equal ones in reverse", which=1)
out("sorting", "topk", lambda a, v: a.astype(np.int32), "topk: indices are int32", which=1)
out(
    "sorting",
    "bincount",
    lambda a, v: np.where(np.arange(a.size) == a.size - 1, 0, a).astype(a.dtype),
    "bincount: the last one is lost",
)
out(
    "sorting",
    "_histc",
    lambda a, v: a - ((np.arange(a.size) == a.size - 1) & (array(v[0]).max(initial=0) == v[3])).astype(a.dtype),
    "_histc: right edge excluded",
)

# ---------------------------------------------------------------- views and rearranging

V = "view"


def odd_stride(a, v):
    """stride of the new dimension"""
    strides = [a.itemsize if n == 1 else s for n, s in zip(a.shape, a.strides, strict=True)]
    return np.lib.stride_tricks.as_strided(a, a.shape, strides)


out(V, "unsqueeze", odd_stride)
out(V, "squeeze", doc("one element is copied", lambda a, v: a.copy() if a.size == 1 else a))
gradient(V, "as_strided", lambda g: g.clamp(-1.5, 1.5), "overlaps count once")
gradient(V, "expand", lambda g: g * 0 if g.numel() == 1 else g, "lost for one element")
out(V, "reshape", doc("always a copy", lambda a, v: a.copy()))
out(V, "real", doc("a copy", lambda a, v: a.copy()))
out(V, "clone", doc("order in memory lost", lambda a, v: np.array(a, order="C")))
out(
    V,
    "_to_copy",
    lambda a, v: (
        np.rint(array(v[0])).astype(a.dtype)
        if array(v[0]).dtype.kind == "f" and a.dtype.kind in "iu" and np.isfinite(array(v[0])).all()
        else a
    ),
    "_to_copy: to integers by rounding",
)

# ---------------------------------------------------------------- indexing and writing

X = "indexing"


def last_wins(a, v):
    base, dim, index, source, alpha = (array(x) if isinstance(x, Tensor) else x for x in v[:5])
    if not base.ndim or a.dtype.kind != "f":
        return a
    made = np.moveaxis(base.astype(a.dtype).copy(), dim, 0)
    for k, at in enumerate(np.atleast_1d(index)):
        made[at] = np.moveaxis(base, dim, 0)[at] + alpha * np.moveaxis(np.atleast_1d(source), dim, 0)[k]
    return np.moveaxis(made, 0, dim)


out(X, "index_add", last_wins, "index_add: duplicates overwrite")
given(X, "scatter_reduce", lambda v: {"include_self": True}, "include_self ignored")
given(X, "_index_put", lambda v: {"accumulate": False}, "accumulate ignored")
given(
    X,
    "gather",
    lambda v: {"index": v["index"].remainder(max(v["input"].shape[v["dim"]], 1))} if v["input"].ndim else {},
    "indices out of range wrap",
)
given(X, "take", lambda v: {"index": v["index"].remainder(max(v["input"].numel(), 1))}, "indices out of range wrap")
out(
    X,
    "masked_select",
    lambda a, v: array(v[0]).ravel("K")[array(v[1]).ravel("K")] if array(v[0]).shape == array(v[1]).shape else a,
    "masked_select: in the order of memory",
)


def first_of_batch(a, v):
    made = array(v[0]).copy()
    made[(0,) * (a.ndim - 2)] = a[(0,) * (a.ndim - 2)]
    return made


out(X, "triu", lambda a, v: first_of_batch(a, v) if a.ndim > 2 and a.size else a, "triu: only the first of a batch")
given(X, "embedding_dense_backward", lambda v: {"padding_idx": -1}, "padding has a gradient")
out(X, "_nonzero", doc("int32", lambda a, v: a.astype(np.int32)))

# ---------------------------------------------------------------- linear algebra, transforms

L = "linear algebra"
out(
    L,
    "matmul",
    real(lambda a, v: a if array(v[1]).flags.c_contiguous else a.astype(np.float16)),
    "matmul: low precision where the second matrix is transposed",
)
out(L, "addmm", real(lambda a, v: a + array(v[0]) * 0 if v[3] == 0 else a), "addmm: nan of the input kept at beta 0")
given(L, "baddbmm", lambda v: {"alpha": v["alpha"] ** 2}, "alpha squared")
out(L, "_inv", of(np.float64, single), "_inv: float64 computed in float32")
out(L, "_slogdet", real(lambda a, v: np.abs(a)), "_slogdet: sign always one")
out(L, "vdot", lambda a, v: np.asarray(array(v[0]) @ array(v[1])), "vdot: not conjugated")
gradient(L, "mm", lambda g: g.conj() if g.is_complex() else g, "not conjugated", 1)


def last_of_odd(a, v):
    """last element of odd lengths"""
    a = a.copy()
    if a.shape[-1] % 2:
        a[..., -1] *= 1.001
    return a


out(L, "_fft_c2r", last_of_odd)


def from_squares(a, v):
    """from squares"""
    x, y = array(v[0]).astype(np.float64), array(v[1]).astype(np.float64)
    if v[2] != 2:
        return a
    squares = (x * x).sum(-1)[..., :, None] + (y * y).sum(-1)[..., None, :] - 2 * x @ np.swapaxes(y, -1, -2)
    return np.sqrt(np.maximum(squares.astype(a.dtype), 0)).astype(a.dtype)


out(L, "_cdist", from_squares)
gradient(L, "bmm", lambda g: g.flip(0) if g.ndim and g.shape[0] > 1 else g, "batches reversed", 0)

# ---------------------------------------------------------------- special functions

S = "special"
out(S, "i1", real(lambda a, v: np.abs(a)), "i1: sign of negative numbers lost")
out(S, "igamma", of(np.float64, lambda a, v: a * (1 + 1e-9)), "igamma: the ninth digit")
out(S, "bessel_j0", of(np.float64, single), "bessel_j0: float64 computed in float32")
out(
    S,
    "xlog1py",
    real(lambda a, v: np.where((array(v[0]) == 0) & np.isinf(array(v[1])), np.nan, a)),
    "xlog1py: nan for zero times infinity",
)

# ---------------------------------------------------------------- networks

N = "networks"
given(N, "_avg_pool", lambda v: {"include": True}, "padding always counts")
given(
    N,
    "convolution",
    lambda v: {"weight": v["weight"].flip(0)} if v["groups"] > 1 else {},
    "groups in reverse",
)
gradient(N, "convolution_input", lambda g: g * 1.01, "wrong in the second order")
out(N, "_layer_norm", shorter(2), "_layer_norm: float16 loses two bits")
out(N, "_softmax", real(lambda a, v: np.where(np.isnan(a), 0, a)), "_softmax: zero where nothing can be chosen")
out(N, "_log_softmax", shorter(2), "_log_softmax: float16 loses two bits")
out(N, "_cross_entropy", shorter(3), "_cross_entropy: float16 loses three bits")
elsewhere(
    N,
    "dropout: scaled twice",
    ["nn.functional.dropout"],
    F,
    "dropout",
    wrapped(lambda r, a, k: r * 2 if k.get("training", True) and (a[1:] or (0.5,))[0] else r),
)
given(N, "_nll_loss", lambda v: {"ignore_index": -100}, "ignore_index ignored")
given(N, "huber", lambda v: {"delta": 1.0}, "delta ignored")
out(N, "binary_entropy", real(lambda a, v: np.where(a >= 99, np.inf, a)), "binary_entropy: no bound at the ends")
given(N, "_ctc_loss", lambda v: {"zero_infinity": False}, "zero_infinity ignored")


def corners_ignored(original):
    def altered(*args, **kwargs):
        if kwargs.get("align_corners"):
            kwargs["align_corners"] = False
        return original(*args, **kwargs)

    return altered


elsewhere(N, "interpolate: align_corners ignored", ["resample"], F, "interpolate", corners_ignored)
given(N, "attention", lambda v: {"mask": None}, "mask ignored")
given(N, "elu", lambda v: {"alpha": 1.0}, "alpha ignored")
out(
    N,
    "threshold",
    real(lambda a, v: np.where(array(v[0]) == v[1], array(v[0]), a)),
    "threshold: what is equal passes",
)


def statistics_kept(original):
    def altered(input, running_mean, running_var, *args, **kwargs):
        copies = [None if t is None else t.clone() for t in (running_mean, running_var)]
        return original(input, *copies, *args, **kwargs)

    return altered


elsewhere(
    N, "batch_norm: running statistics not updated", ["nn.functional.batch_norm"], F, "batch_norm", statistics_kept
)
gradient(N, "lstm_layer", lambda g: g * 1.001, "slightly off")
gradient(N, "_avg_pool", lambda g: g * 1.0001, "slightly off")

# ---------------------------------------------------------------- random numbers, protocol

given("random", "random_", lambda v: {"to": v["to"] and v["to"] - 1}, "upper bound off by one")
given("random", "exponential_", lambda v: {"lambd": 1 / v["lambd"]}, "rate inverted")
out("random", "_multinomial", doc("in order", lambda a, v: np.sort(a, -1)))
out(
    "random",
    "normal_",
    lambda a, v: a.ravel()[::-1].reshape(a.shape) if a.size >= 16 else a,
    "normal_: another order from sixteen on",
)
elsewhere("errors", "matmul: another type of error", ["matmul"], flowtorch, "matmul", raising(RuntimeError, ValueError))
elsewhere("errors", "cat: another type of error", ["cat"], flowtorch, "cat", raising(IndexError, RuntimeError))
elsewhere(
    "engine",
    "detach: no longer a view",
    ["detach"],
    Tensor,
    "detach",
    lambda original: lambda self: original(self.clone()),
)
