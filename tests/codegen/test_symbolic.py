"""Derivatives read symbolically: Python on tensors, called with symbols, gives the expression tree.

Run: python -m pytest tests/codegen/test_symbolic.py
"""

import numpy as np
import pytest

from flowtorch.codegen.expression import parse
from flowtorch.codegen.lowering import lower
from flowtorch.codegen.numpy_renderer import build
from flowtorch.codegen.symbolic import NotSymbolicError, Symbol, apply, read


def conj(x):
    return x.conj() if isinstance(x, Symbol) else x


def test_operators_and_methods_give_the_tree():
    assert read(lambda g, other: g * conj(other), ("input", "other")) is parse("g * conj(other)", ("g", "other"))
    assert read(lambda g, out: g * (1 - out) * out, ("input",)) is parse("g * (1 - out) * out", ("g", "out"))
    assert read(lambda g, input: -g / input**2, ("input",)) is parse("-g / input ** 2", ("g", "input"))
    assert read(lambda g, input: g * (input > 0), ("input",)) is parse("g * (input > 0)", ("g", "input"))
    assert read(lambda g, input: 2 // abs(input) % 3, ("input",)) is parse("2 // abs(input) % 3", ("input",))
    assert read(lambda g, input: (1 & ~input) | (input ^ 3), ("input",)) is parse("1 & ~input | input ^ 3", ("input",))
    text = "where(input <= 0, 0.0, g) + tanh(input) / (1 + exp(-g))"
    formula = read(lambda g, input: g.masked_fill(input <= 0, 0.0) + input.tanh() * g.sigmoid(), ("input",))
    assert formula is parse("where(input <= 0, 0.0, g) + tanh(input) * (1 / (1 + exp(-g)))", ("g", "input"))
    assert formula is not parse(text, ("g", "input"))


def test_parameters_are_scalars_or_bound_values():
    assert read(lambda g, alpha: g * alpha, ("input",)) is parse("g * alpha", ("g",), ("alpha",))
    assert read(lambda g, alpha: g if alpha == 1 else g * alpha, ("input",), {"alpha": 1}) is parse("g", ("g",))
    assert read(lambda g, alpha: g if alpha == 1 else g * alpha, ("input",), {"alpha": 3}) is parse("g * 3", ("g",))


def test_calls_of_ops_put_the_arguments_into_their_expression():
    sigmoid = parse("1 / (1 + exp(-input))", ("input",))

    def public_sigmoid(input):
        return input.__flowtorch_symbol__(sigmoid, {"input": input})

    tree = read(lambda g, input: g * public_sigmoid(2 * input), ("input",))
    assert tree is parse("g * (1 / (1 + exp(-(2 * input))))", ("g", "input"))


def test_the_derivative_evaluates_to_the_derivative():
    tree = read(lambda g, out: g * (1 - out) * out, ("input",))
    kernel = build(lower([tree], {"g": "float64", "out": "float64"}))
    x = np.linspace(-3, 3, 50)
    out = 1 / (1 + np.exp(-x))
    difference = (1 / (1 + np.exp(-x - 1e-6)) - 1 / (1 + np.exp(-x + 1e-6))) / 2e-6
    np.testing.assert_allclose(kernel(np.ones(50), out), difference, rtol=1e-8)


def test_forward_and_derivative_fuse_into_one_kernel_with_shared_steps():
    forward = parse("tanh(input)", ("input",))
    backward = read(lambda g, out: g * (1 - out * out), ("input",)).substitute({"out": forward})
    program = lower([forward, backward], {"g": "float32", "input": "float32"})
    assert [step.op for step in program.steps].count("tanh") == 1


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        (lambda g, input: g.sum(), "calls sum, which has no scalar expression"),
        (lambda g, input: g if input > 0 else -g, "branches on the value"),
        (lambda g, input_shape: g, "needs a shape"),
        (lambda g, input: [g], "list has no scalar expression"),
        (lambda g, input: g * input.shape[0], r"uses \.shape"),
        (lambda g, input: g if input.is_complex() else -g, "once per category"),
        (lambda g, input: apply("sin", "x"), "str has no scalar expression"),
    ],
)
def test_what_is_not_a_scalar_expression_is_refused(formula, message):
    with pytest.raises(NotSymbolicError, match=message):
        read(formula, ("input",))


def test_formulas_may_ask_for_the_category():
    def formula(g, input):
        return g * input.conj() if input.is_complex() else g * input

    assert read(formula, ("input",), category="f") is parse("g * input", ("g", "input"))
    assert read(formula, ("input",), category="c") is parse("g * conj(input)", ("g", "input"))
