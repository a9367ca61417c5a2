"""Functions of lists of tensors like torch's."""

from __future__ import annotations

import pytest
from against_torch import close, same

import flowtorch

SETUP = """
a = [torch.tensor([0.2, 0.9]), torch.tensor([[0.5], [0.1]])]
b = [t + 0.25 for t in a]
"""
UNARY = [
    "abs",
    "acos",
    "cos",
    "erf",
    "exp",
    "floor",
    "lgamma",
    "log",
    "log1p",
    "neg",
    "reciprocal",
    "round",
    "rsqrt",
    "sigmoid",
    "sign",
    "sqrt",
    "tanh",
    "trunc",
]


@pytest.mark.parametrize(
    "source",
    [
        *[f"torch._foreach_{f}(a)" for f in UNARY],
        *[f"torch._foreach_{f}_(a)" for f in UNARY],
        *[
            f"torch._foreach_{f}{s}(a, {o})"
            for f in ["add", "sub", "mul", "div", "pow", "clamp_max", "clamp_min", "maximum", "minimum"]
            for s in ("", "_")
            for o in ("b", "2.0", "[2.0, 3.0]")
        ],
        "torch._foreach_add(a, b, alpha=2)",
        "torch._foreach_mul(a, torch.tensor(3.0))",
        "torch._foreach_pow(2.0, a)",
        "torch._foreach_addcmul(a, b, b, 2)",
        "torch._foreach_addcdiv_(a, b, b, [1.0, 2.0])",
        "torch._foreach_addcmul(a, a, b, torch.tensor([1.0, 2.0]))",
        "torch._foreach_lerp(a, b, 0.5)",
        "torch._foreach_lerp_(a, b, a)",
        "torch._foreach_norm(a, 1)",
        "torch._foreach_max(a)",
        "torch._foreach_clone(a)",
        "torch._foreach_copy_(a, b)",
        "torch._foreach_zero_(a)",
    ],
)
def test_values(source):
    close(source, SETUP)


@pytest.mark.parametrize(
    "source", ["torch._foreach_add([], 1)", "torch._foreach_add(a, b[:1])", "torch._foreach_neg([])"]
)
def test_errors(source):
    same(source, SETUP)


def test_gradients_pass_through():
    x = flowtorch.tensor([1.0, 2.0], requires_grad=True)
    sum(t.sum() for t in flowtorch._foreach_mul([x, x], [2.0, 3.0])).backward()
    assert x.grad.tolist() == [5.0, 5.0]


def test_in_place_functions_return_the_tensors():
    x = flowtorch.ones(2)
    assert flowtorch._foreach_add_([x], 1)[0] is x and x.tolist() == [2.0, 2.0]
