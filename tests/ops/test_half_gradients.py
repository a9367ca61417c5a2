"""Activations and losses in half precision: computed in single precision and rounded once, as PyTorch's kernels do."""

import pytest

import flowtorch as ft

F = ft.nn.functional
CALLS = {
    "elu": lambda x, y: F.elu(x, 0.5),
    "selu": lambda x, y: F.selu(x),
    "celu": lambda x, y: F.celu(x, 2.0),
    "gelu": lambda x, y: F.gelu(x),
    "gelu by tanh": lambda x, y: F.gelu(x, approximate="tanh"),
    "silu": lambda x, y: F.silu(x),
    "mish": lambda x, y: F.mish(x),
    "softplus": lambda x, y: F.softplus(x, 2.0),
    "hardswish": lambda x, y: F.hardswish(x),
    "logsigmoid": lambda x, y: F.logsigmoid(x),
    "glu": lambda x, y: F.glu(x),
    "huber": lambda x, y: F.huber_loss(x, y, reduction="none"),
    "smooth_l1": lambda x, y: F.smooth_l1_loss(x, y, reduction="none", beta=0.7),
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", CALLS)
def test_one_rounding(name, dtype):
    half = getattr(ft, dtype)
    ft.manual_seed(11)
    x, y, g = (ft.randn(32, 16).mul(2).to(half) for _ in range(3))
    found = []
    for kind in (half, ft.float32):
        leaf = x.to(kind).detach().requires_grad_()
        out = CALLS[name](leaf, y.to(kind))
        (gradient,) = ft.autograd.grad(out, leaf, g[:, : out.shape[1]].to(kind))
        found.append((out.to(half), gradient.to(half)))
    (out, gradient), (single_out, single_gradient) = found
    assert ft.equal(out, single_out)
    assert ft.equal(gradient, single_gradient)
