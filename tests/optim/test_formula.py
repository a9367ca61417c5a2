"""Formulas: tracing, the code made from them, and its use of memory."""

import numpy as np
import pytest

import flowtorch as ft
from flowtorch.optim import blocked
from flowtorch.optim.formula import add, formula, where
from flowtorch.optim.kernel import Kernel


def run(rule, arrays, **numbers):
    kernel = rule.kernel(tuple(a is not None for a in arrays), numbers)
    rows = [[a.copy()] for a in arrays if a is not None]
    assert blocked.run_kernel(kernel, rows, kernel.numbers(**numbers)) == []
    return kernel, [row[0] for row in rows]


@formula
def swing(param, grad, buf, /, *, lr, decay, flip):
    if flip:
        grad = -grad
    if buf is not None:
        buf = buf.mul(decay).add(grad)
        grad = buf
    return add(param, grad, -lr), buf


P, G, B = np.arange(4.0), np.array([1.0, -1, 2, 0.5]), np.array([0.1, 0.2, 0.3, 0.4])


def test_a_kernel_writes_in_place():
    _, (p, g, b) = run(swing, (P, G, B), lr=0.5, decay=0.9, flip=False)
    np.testing.assert_array_equal(b, B * 0.9 + G)
    np.testing.assert_array_equal(p, P + (B * 0.9 + G) * -0.5)
    np.testing.assert_array_equal(g, G)


def test_options_choose_kernels_and_numbers_do_not():
    one, _ = run(swing, (P, G, B), lr=0.5, decay=0.9, flip=False)
    two, _ = run(swing, (P, G, B), lr=0.1, decay=0.3, flip=False)
    flipped, (p, *_) = run(swing, (P, G, None), lr=0.5, decay=None, flip=True)
    assert one is two
    assert flipped is not one
    np.testing.assert_array_equal(p, P + G * 0.5)


def test_arithmetic_between_numbers_is_done_once_in_double_precision():
    @formula
    def bias(param, grad, /, *, lr, beta, step):
        return (param.add(grad, alpha=-(lr / (1 - beta**step))),)

    kernel = bias.kernel((True, True), {"lr": 0.1, "beta": 0.9, "step": 3})
    assert kernel.numbers(lr=0.1, beta=0.9, step=3) == (-(0.1 / (1 - 0.9**3)),)
    assert kernel.cost == 2


def test_old_values_survive_as_long_as_they_are_read():
    @formula
    def swap_like(param, grad, buf, /, *, k):
        return param.add(buf.mul(k)), buf.sub(param)

    _, (p, _, b) = run(swap_like, (P, G, B), k=2.0)
    np.testing.assert_array_equal(p, P + B * 2)
    np.testing.assert_array_equal(b, B - P)


def test_a_result_may_be_shared_or_be_the_gradient():
    @formula
    def average(param, grad, mean, last, /, *, lr):
        param = param.sub(grad.mul(lr))
        return param, param, grad

    _, (p, _, mean, last) = run(average, (P, G, B, B * 2), lr=0.1)
    np.testing.assert_array_equal(p, P - G * 0.1)
    np.testing.assert_array_equal(mean, p)
    np.testing.assert_array_equal(last, G)


def test_where_and_sign():
    @formula
    def signs(param, grad, /, *, low):
        return (where(grad > low, param.mul(2.0), where(grad < low, grad.sign(), 0.0)),)

    g = np.array([1.0, -1, 0, np.nan])
    _, (p, _) = run(signs, (P + 1, g), low=0.0)
    np.testing.assert_array_equal(p, [2, -1, 0, 0])


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.7, 1.0])
def test_lerp_is_exact_at_its_ends(weight):
    @formula
    def lerp(param, grad, /, *, w):
        return (param.lerp(grad, w),)

    a, b = np.array([1e8, -3.0]), np.array([1e-8, 7.0])
    _, (p, _) = run(lerp, (a, b), w=weight)
    expected = ft.from_numpy(a).numpy() * (1 - weight) + b * weight
    np.testing.assert_allclose(p, expected, rtol=1e-15, atol=1e-8)
    if weight in (0.0, 1.0):
        np.testing.assert_array_equal(p, b if weight else a)


def test_a_formula_cannot_branch_on_numbers_or_tensors():
    @formula
    def branchy(param, grad, /, *, lr):
        return (param if lr else grad,)

    @formula
    def branchier(param, grad, /, *, lr):
        return (param if grad > 0 else grad,)

    with pytest.raises(TypeError, match="cannot branch on the number lr"):
        branchy.kernel((True, True), {"lr": 0.1})
    with pytest.raises(TypeError, match="cannot branch on a tensor"):
        branchier.kernel((True, True), {"lr": 0.1})


def test_adam_needs_two_work_arrays():
    from flowtorch.optim.adam import _adam

    numbers = {"step": 1.0, "lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": None,
               "decoupled": False, "maximize": False}
    kernel = _adam.kernel((True, True, True, True, False), numbers)
    assert isinstance(kernel, Kernel)
    assert kernel.floats == 2
    assert kernel.writes == (0, 2, 3)


def test_rows_of_all_sizes_in_one_call():
    rng = np.random.default_rng(0)
    shapes = [(3,), (), (0,), (blocked.SMALL, 2), (blocked.BLOCK + 5,), (7, 2)]
    columns = [[np.asarray(rng.standard_normal(s)) for s in shapes] for _ in range(3)]
    expected = [p + (b * 0.9 + g) * -0.5 for p, g, b in zip(*columns, strict=True)]
    kernel = swing.kernel((True, True, True), {"lr": 0.5, "decay": 0.9, "flip": False})
    assert blocked.run_kernel(kernel, columns, kernel.numbers(lr=0.5, decay=0.9, flip=False)) == []
    for got, want in zip(columns[0], expected, strict=True):
        np.testing.assert_array_equal(got, want)


def test_many_small_rows_fill_several_packs():
    rng = np.random.default_rng(0)
    n = 3 * blocked.BLOCK // 1000
    columns = [[rng.standard_normal(1000) for _ in range(n)] for _ in range(4)]

    @formula
    def long(param, grad, a, b, /, *, x):
        for _ in range(5):
            a = a.mul(x).add(grad)
            b = b.add(a)
        return param.sub(b), a, b

    kernel = long.kernel((True,) * 4, {"x": 0.5})
    wanted = [[a.copy() for a in column] for column in columns]
    blocked.run_kernel(kernel, columns, (0.5,))
    for i in range(n):
        p, g, a, b = (column[i] for column in wanted)
        for _ in range(5):
            a = a * 0.5 + g
            b = b + a
        np.testing.assert_array_equal(columns[0][i], p - b)
