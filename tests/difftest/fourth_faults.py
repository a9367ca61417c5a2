"""The fourth set of planted faults: in optimisers, schedules, modules, sparse tensors, autocast and random streams, and
in ops and rules that the first three leave out; chosen before it was tried. ``mutation.py --book fourth`` counts them.
"""

import sys
from pathlib import Path

import numpy as np

import flowtorch
import flowtorch.nn.functional
from flowtorch.amp import state as autocast
from flowtorch.tensor import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from held_out_faults import of, real, single, wrapped
from planting import Faults, array

FAULTS = Faults()
out, given, gradient, elsewhere = FAULTS.out, FAULTS.given, FAULTS.gradient, FAULTS.elsewhere
nn, optim, F = flowtorch.nn, flowtorch.optim, flowtorch.nn.functional

# ---------------------------------------------------------------- pointwise and promotion

P = "pointwise"
out(P, "sinc", real(lambda a, v: np.where(array(v[0]) == 0, 0, a)), "sinc: nothing at zero")
out(P, "erfc", real(lambda a, v: np.where(array(v[0]) > 4, 0, a)), "erfc: tail cut off")
out(P, "tan", of(np.float64, single), "tan: double in single")
out(P, "exp2", real(lambda a, v: np.where(a < 1e-30, 0, a)), "exp2: flushed early")
out(P, "sgn", lambda a, v: np.sign(a.real).astype(a.dtype) if a.dtype.kind == "c" else a, "sgn: real part alone")
out(P, "nan_to_num", real(lambda a, v: np.where(np.isneginf(array(v[0])), -a, a)), "nan_to_num: sign of infinity")
out(P, "lcm", lambda a, v: -a, "lcm: negative")
out(P, "logical_xor", lambda a, v: array(v[0]).astype(bool) | array(v[1]).astype(bool), "logical_xor: is or")
out(P, "frexp", lambda a, v: a - (a == 1), "frexp: exponent of one", which=1)
given(P, "_polygamma", lambda v: {"n": v["n"] + 1}, "order one too high")
gradient(P, "xlogy", lambda g: g * 0.999, "of the second slightly off", 1)
gradient(P, "copysign", lambda g: g.abs(), "sign lost", 0)
gradient(P, "fmod", lambda g: g * 1.0001, "fourth digit of the second", 1)
gradient(P, "erfinv", lambda g: g * (1 + 1e-5), "fifth digit")
elsewhere(
    "promotion",
    "true division of integers gives double",
    ["true_divide"],
    Tensor,
    "true_divide",
    lambda original: lambda self, other: original(self.double() if not self.is_floating_point() else self, other),
)
elsewhere("promotion", "result_type ignores numbers", ["result_type"], flowtorch, "result_type",
          lambda original: lambda a, b: a.dtype if isinstance(a, Tensor) else original(a, b))  # fmt: skip
elsewhere("promotion", "can_cast allows all", ["can_cast"], flowtorch, "can_cast", lambda original: lambda a, b: True)

# ---------------------------------------------------------------- reductions, sorting, views, indexing

out("reduction", "_nanmedian_all", real(lambda a, v: a + 1e-9), "_nanmedian_all: the ninth digit")
out("reduction", "logcumsumexp", of(np.float64, single), "logcumsumexp: double in single")
out("reduction", "_max_dim", lambda a, v: np.ascontiguousarray(a)[..., ::-1].copy() if a.ndim else a,
    "_max_dim: indices reversed", which=1)  # fmt: skip
out("sorting", "_isin", lambda a, v: ~a, "_isin: inverted")
out(
    "sorting",
    "_unique_consecutive",
    lambda a, v: a[:-1] if len(a) > 2 else a,
    "_unique_consecutive: last lost",
    which=0,
)
given("view", "select", lambda v: {"index": 0 if v["index"] == -1 else v["index"]}, "index -1 is the first")
given("view", "tril", lambda v: {"diagonal": -v["diagonal"]}, "diagonal's sign")
gradient("view", "repeat", lambda g: g * 0.5, "halved")
gradient("view", "cat", lambda g: g.flip(0) if isinstance(g, Tensor) else g, "in reverse")
out("indexing", "index_fill", lambda a, v: np.roll(a, 1, 0) if a.ndim else a, "index_fill: the row after")
out("indexing", "gather", of(np.float64, single), "gather: double in single")
gradient("indexing", "put", lambda g: g * 1.01, "slightly off")
gradient("indexing", "scatter_add", lambda g: -g, "sign of the source", 2)

# ---------------------------------------------------------------- linear algebra, fft, sparse

L = "linear algebra"
out(L, "_svd", real(lambda a, v: a[..., ::-1].copy()), "_svd: singular values ascend", which=1)
out(L, "_qr", lambda a, v: -a, "_qr: sign of r alone", which=1)
out(L, "_matrix_exp", real(lambda a, v: a * (1 + 1e-6)), "_matrix_exp: the sixth digit")
out(L, "_lstsq", real(lambda a, v: a * 1.01), "_lstsq: slightly off", which=0)
gradient(L, "_det", lambda g: g * 1.001, "slightly off")
gradient(L, "_cholesky", lambda g: g.mT, "transposed")
out("fft", "_fft_c2c", lambda a, v: np.conj(a), "_fft_c2c: the other direction")
gradient("fft", "_fft_r2c", lambda g: g * 2, "doubled")
elsewhere("fft", "fftshift by one too many", ["fft.fftshift"], flowtorch.fft, "fftshift",
          wrapped(lambda r, a, k: r.roll(1, -1)))  # fmt: skip
elsewhere("sparse", "to_dense loses negative numbers", ["abs", "neg", "matmul"], Tensor, "to_dense",
          wrapped(lambda r, a, k: r.clamp(min=0) if r.is_floating_point() else r))  # fmt: skip
elsewhere(
    "sparse",
    "sums of sparse rows forgotten",
    ["mm", "matmul"],
    Tensor,
    "matmul",
    lambda original: lambda self, other: original(self, other) * (1 if self.layout is flowtorch.strided else 2),
)

# ---------------------------------------------------------------- networks

N = "networks"
given(N, "_group_norm", lambda v: {"eps": 0.0}, "no epsilon")
given(N, "_rms_norm", lambda v: {"eps": v["eps"] * 2 if v.get("eps") else 1e-3}, "other epsilon")
out(N, "_adaptive_avg_pool", real(lambda a, v: a * (1 + 1e-5)), "_adaptive_avg_pool: fifth digit")
out(N, "cross_map_lrn", real(lambda a, v: a * 0.99), "cross_map_lrn: slightly off")
gradient(N, "rnn_layer", lambda g: g * 1.001 if isinstance(g, Tensor) else g, "slightly off")
gradient(N, "attention", lambda g: g * 1.01, "of the values", 2)
gradient(N, "huber", lambda g: g.clamp(max=0.1), "clipped")
elsewhere(N, "BatchNorm: momentum from the other side", ["nn.BatchNorm1d"], nn.BatchNorm1d, "forward",
          lambda original: lambda self, x: (setattr(self, "momentum", 0.9), original(self, x))[1])  # fmt: skip
elsewhere(N, "LSTM: forget gate's bias one at first", ["nn.LSTM"], nn.LSTM, "reset_parameters",
          lambda original: lambda self: (original(self), [p.data[4:8].fill_(1) for n, p in self.named_parameters()
                                                          if "bias_ih" in n])[0])  # fmt: skip
elsewhere(N, "Linear: weights from another distribution", ["nn.Linear"], nn.Linear, "reset_parameters",
          lambda original: lambda self: (original(self), self.weight.data.mul_(0.5))[0])  # fmt: skip
elsewhere(N, "Dropout: drops in evaluation", ["nn.Dropout"], nn.Dropout, "forward",
          lambda original: lambda self, x: F.dropout(x, self.p, True))  # fmt: skip
elsewhere(N, "Softmax: along the last dimension", ["nn.Softmax"], nn.Softmax, "forward",
          lambda original: lambda self, x: x.softmax(-1))  # fmt: skip

# ---------------------------------------------------------------- optimisers and schedules


def after(change):
    def new(original):
        def step(self, *args, **kwargs):
            result = original(self, *args, **kwargs)
            with flowtorch.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        change(p, self.state[p], group)
            return result

        return step

    return new


def scale(key, factor):
    return lambda p, s, g: s[key].mul_(factor) if isinstance(s.get(key), Tensor) else None


O = "optimisers"  # noqa: E741
elsewhere(
    O, "Adam: second average decays too fast", ["optim.Adam"], optim.Adam, "step", after(scale("exp_avg_sq", 0.99))
)
elsewhere(
    O, "SGD: momentum buffer one unit off", ["optim.SGD"], optim.SGD, "step", after(scale("momentum_buffer", 1 + 1e-5))
)
elsewhere(O, "SGD: one group's rate for all", ["optim.SGD"], optim.SGD, "step",
          lambda original: lambda self, *a: ([g.update(lr=self.param_groups[0]["lr"]) for g in self.param_groups],
                                             original(self, *a))[1])  # fmt: skip
elsewhere(O, "Adagrad: forgets", ["optim.Adagrad"], optim.Adagrad, "step", after(scale("sum", 0.5)))
elsewhere(O, "RMSprop: parameter moves a little more", ["optim.RMSprop"], optim.RMSprop, "step",
          after(lambda p, s, g: p.mul_(1 - 1e-5)))  # fmt: skip
elsewhere(O, "RAdam: steps counted twice", ["optim.RAdam"], optim.RAdam, "step",
          after(lambda p, s, g: s["step"].add_(1) if "step" in s else None))  # fmt: skip
elsewhere(O, "Rprop: step sizes unbounded", ["optim.Rprop"], optim.Rprop, "step", after(scale("step_size", 2)))
elsewhere(O, "LBFGS: stops early", ["optim.LBFGS"], optim.LBFGS, "__init__",
          lambda original: lambda self, p, **k: original(self, p, **{**k, "max_iter": 2}))  # fmt: skip
elsewhere(O, "CosineAnnealingLR: another lowest rate", ["optim.lr_scheduler.CosineAnnealingLR"],
          optim.lr_scheduler.CosineAnnealingLR, "__init__",
          lambda original: lambda self, o, **k: original(self, o, **{**k, "eta_min": 1e-3}))  # fmt: skip
elsewhere(
    O,
    "OneCycleLR: momentum not cycled",
    ["optim.lr_scheduler.OneCycleLR"],
    optim.lr_scheduler.OneCycleLR,
    "__init__",
    lambda original: lambda self, o, **k: original(self, o, **{**k, "cycle_momentum": False}),
)

# ---------------------------------------------------------------- random streams, autocast, in-place rules, errors

R = "random"
out(R, "uniform_", real(lambda a, v: a if a.size < 25 else np.roll(a, 1)), "uniform_: order of many")
given(R, "log_normal_", lambda v: {"std": v["std"] * v["std"]}, "variance for deviation")
elsewhere(R, "exponential_: a generator of the caller's is ignored", ["Tensor.exponential_"], Tensor, "exponential_",
          lambda original: lambda self, lambd=1, *, generator=None: original(self, lambd))  # fmt: skip
elsewhere(R, "randperm: the state is put back", ["randperm"], flowtorch, "randperm",
          lambda original: lambda n, **k: (flowtorch.get_rng_state(), original(n, **k),)[1] if n < 3 else
          _undone(lambda: original(n, **k)))  # fmt: skip
elsewhere(
    R,
    "multinomial: without replacement always",
    ["multinomial"],
    flowtorch,
    "multinomial",
    lambda original: lambda p, n, replacement=False, **k: original(p, min(n, p.shape[-1]), False, **k),
)


def _undone(draw):
    state = flowtorch.get_rng_state()
    made = draw()
    flowtorch.set_rng_state(state)
    return made


A = "autocast"
elsewhere(A, "bmm stays in single precision", ["bmm", "baddbmm"], autocast, "LOW_PRECISION",
          lambda original: {**original, "cpu": original["cpu"] - {"bmm", "baddbmm"}})  # fmt: skip
elsewhere(A, "mse_loss in low precision", ["nn.functional.mse_loss"], autocast, "FLOAT32",
          lambda original: {**original, "cpu": original["cpu"] - {"mse_loss", "_mse_loss"}})  # fmt: skip
I = "in place"  # noqa: E741
elsewhere(I, "relu_: a view's base keeps its history", ["relu"], Tensor, "relu_",
          lambda original: lambda self: (self.data.copy_(self.detach().relu()), self)[1])  # fmt: skip
elsewhere(I, "tanh_: no version bump", ["tanh"], Tensor, "tanh_",
          lambda original: lambda self: self.set_data(self.tanh()) if hasattr(self, "set_data") else
          (np.copyto(self._array, np.tanh(self._array)), self)[1])  # fmt: skip
elsewhere(I, "clamp_min_: gives a copy back", ["clamp_min"], Tensor, "clamp_min_",
          lambda original: lambda self, m: original(self, m).clone())  # fmt: skip
elsewhere(
    I, "transpose_: changes nothing", ["transpose"], Tensor, "transpose_", lambda original: lambda self, a, b: self
)


def renamed(kind):
    """The same refusals as another type."""

    def new(original):
        def call(*args, **kwargs):
            try:
                return original(*args, **kwargs)
            except Exception as problem:
                raise kind(str(problem)) from problem

        return call

    return new


elsewhere("errors", "stack: ValueError", ["stack"], flowtorch, "stack", renamed(ValueError))
elsewhere("errors", "gather: RuntimeError for all", ["index_select"], flowtorch, "index_select", renamed(RuntimeError))
elsewhere("errors", "one_hot: TypeError", ["nn.functional.one_hot"], F, "one_hot", renamed(TypeError))
elsewhere("errors", "conv2d: takes any number of channels", ["nn.functional.conv2d"], F, "conv2d",
          lambda original: lambda x, w, *a, **k: original(x[:, : w.shape[1]] if x.ndim == 4 and not (a or k) else x,
                                                         w, *a, **k))  # fmt: skip
