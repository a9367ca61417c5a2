"""Derivatives of both orders against finite differences: no other library is asked."""

import pytest

import flowtorch as torch
import flowtorch.nn.functional as F
from flowtorch.autograd import gradcheck, gradgradcheck
from flowtorch.testing.samples import Array, find, load

SPECS = load()
CHOSEN = [
    "add", "mul", "div", "pow", "atan2", "hypot", "logaddexp", "addcmul", "addcdiv", "lerp", "where", "exp", "log",
    "tanh",
    "sigmoid", "sinh", "erf", "rsqrt", "lgamma", "sum", "mean", "prod", "var", "std", "logsumexp", "cumsum", "cumprod",
    "softmax", "log_softmax", "matmul", "gather", "index_select", "scatter_add", "index_add", "masked_fill", "cat",
    "stack",
    "roll", "tril", "diag_embed", "nn.functional.conv2d", "nn.functional.conv_transpose1d", "nn.functional.avg_pool2d",
    "nn.functional.layer_norm", "nn.functional.gelu", "nn.functional.silu", "nn.functional.mse_loss",
    "nn.functional.cross_entropy", "nn.functional.pad", "det", "inverse", "fft.fft",
]  # fmt: skip


def calls(name, limit=3):
    """Yield (function of the tensors alone, tensors) for the first samples that work."""
    spec, function, found = SPECS[name], find(torch, name), 0
    for sample in spec.samples("float64"):
        arrays = [a for a in sample.arrays() if a.grad and 0 < a.values.size <= 64]
        if not arrays or len(arrays) < sum(a.grad for a in sample.arrays()):
            continue
        try:
            function(*sample.build(torch)[0], **sample.build(torch)[1])
        except Exception:  # a sample of an error
            continue

        def call(*tensors, sample=sample, arrays=arrays):
            given = dict(zip(map(id, arrays), tensors, strict=True))
            filled = sample.map_arrays(lambda a: _Given(given[id(a)]) if id(a) in given else a)
            args, kwargs = filled.build(torch)
            return function(*args, **kwargs)

        yield call, tuple(a.build(torch, grad=True) for a in arrays)
        found += 1
        if found == limit:
            return


class _Given(Array):
    """A tensor in the place of an argument."""

    def __init__(self, tensor):
        self.tensor = tensor

    def build(self, library, grad=False):
        return self.tensor


@pytest.mark.parametrize("name", CHOSEN)
def test_first_order(name):
    found = 0
    for call, tensors in calls(name):
        assert gradcheck(call, tensors)
        found += 1
    assert found


@pytest.mark.parametrize("name", [n for n in CHOSEN if n not in ("nn.functional.conv2d", "fft.fft", "det")])
def test_second_order(name):
    for call, tensors in list(calls(name, limit=1)):
        assert gradgradcheck(call, tensors)


def test_gradcheck_finds_a_wrong_derivative():
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * x

        @staticmethod
        def backward(ctx, g):
            return g * 3

    with pytest.raises(RuntimeError):
        gradcheck(Wrong.apply, (torch.ones(3, dtype=torch.float64, requires_grad=True),))


def test_a_network_of_two_layers():
    tensors = [torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in ((3, 4), (5, 4), (5,), (2, 5))]
    assert gradgradcheck(lambda x, w, b, v: F.linear(torch.tanh(F.linear(x, w, b)), v), tensors)


# ---------------------------------------------------------------- fast mode, batched gradients


class _Wrong(torch.autograd.Function):
    """x squared, with a derivative that is off by a factor."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, g):
        return 3 * g * ctx.saved_tensors[0]

    @staticmethod
    def jvp(ctx, t):
        return 3 * t * ctx.saved_tensors[0]


class _Peeks(torch.autograd.Function):
    """x squared, with a derivative that leaves the graph."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        return torch.from_numpy(g.detach().numpy() * 2 * ctx.saved_tensors[0].detach().numpy())


FUNCTIONS = {
    "tanh": lambda x: x.tanh() * x,
    "products": lambda x: (x @ x.transpose(0, 1), x.sum()),
    "linear algebra": lambda x: torch.linalg.inv(x + 3 * torch.eye(3, dtype=x.dtype)),
    "indexing": lambda x: x[torch.tensor([0, 2, 0]), 1:],
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_fast_mode_and_batched_gradients(name, dtype):
    x = torch.rand(3, 3, dtype=dtype, requires_grad=True)
    before = x.detach().clone()
    options = {"check_forward_ad": True, "check_batched_grad": True, "check_batched_forward_grad": True}
    assert torch.autograd.gradcheck(FUNCTIONS[name], (x,), fast_mode=True, **options)
    assert torch.autograd.gradcheck(FUNCTIONS[name], (x,), **options)
    assert torch.autograd.gradgradcheck(FUNCTIONS[name], (x,), fast_mode=True, check_batched_grad=True)
    assert torch.equal(x, before)


@pytest.mark.parametrize("options", [{}, {"fast_mode": True}])
@pytest.mark.parametrize("mode", ["check_backward_ad", "check_forward_ad"])
def test_wrong_derivatives_are_found(options, mode):
    x = torch.rand(3, dtype=torch.float64, requires_grad=True)
    wanted = {"check_backward_ad": mode == "check_backward_ad", "check_forward_ad": mode == "check_forward_ad"}
    with pytest.raises(torch.autograd.check.GradcheckError, match="mismatch for output 0 with respect to input 0"):
        torch.autograd.gradcheck(_Wrong.apply, (x,), **wanted, **options)
    assert not torch.autograd.gradcheck(_Wrong.apply, (x,), **wanted, **options, raise_exception=False)


def test_gradients_that_cannot_be_batched_are_found():
    x = torch.rand(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(_Peeks.apply, (x,))
    with pytest.raises(torch.autograd.check.GradcheckError, match="While computing batched gradients, got: "):
        torch.autograd.gradcheck(_Peeks.apply, (x,), check_batched_grad=True)
