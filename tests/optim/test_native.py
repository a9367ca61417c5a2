"""Machine code for update kernels computes what numpy does: to the last bit, where numpy does not go by blocks."""

import numpy as np
import pytest
import test_steps
from twins import Twins

import flowtorch as ft
from flowtorch.codegen import native as compiler
from flowtorch.optim import blocked, native

pytestmark = pytest.mark.skipif(compiler.compiler() is None, reason="there is no C compiler")
SHAPES = [(3,), (blocked.SMALL + 1,), (40, 50), (7, 2), (), (0,), (blocked.BLOCK + 3,)]
OPTIONS = [("SGD", {"momentum": 0.9, "nesterov": True}), ("Adam", {"amsgrad": True, "weight_decay": 0.1}),
           ("Adam", {"betas": (0.2, 0.9)}), ("AdamW", {}), ("Adagrad", {}), ("Adadelta", {}), ("Adamax", {}),
           ("ASGD", {"t0": 1}), ("NAdam", {}), ("RAdam", {"betas": (0.9, 0.5)}),
           ("RMSprop", {"centered": True, "momentum": 0.5}), ("Rprop", {})]


@pytest.fixture
def at_once(monkeypatch):
    """Every kernel becomes machine code at its first use."""
    used = []

    def run_kernel(kernel, columns, numbers):
        dtype = columns[0][0].dtype
        if dtype.kind != "c" and dtype.char not in kernel.native.functions:
            kernel.native.build(dtype)
        used.append(kernel)
        return original(kernel, columns, numbers)

    original = blocked.run_kernel
    monkeypatch.setattr(blocked, "run_kernel", run_kernel)
    return used


def run(name, options, dtype):
    rng = np.random.default_rng(0)
    params = [ft.nn.Parameter(ft.from_numpy(np.asarray(rng.standard_normal(s), dtype))) for s in SHAPES]
    opt = getattr(ft.optim, name)(params, **options)
    for _ in range(3):
        for p in params:
            g = np.asarray(rng.standard_normal(tuple(p.shape)), dtype)
            if g.shape == (7, 2):
                g[0] = np.nan
            p.grad = ft.from_numpy(g)
        opt.step()
    return [p.detach().numpy() for p in params]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=test_steps.label)
def test_machine_code_agrees_with_numpy(name, options, dtype, monkeypatch, request):
    monkeypatch.setenv("FLOWTORCH_NATIVE", "0")
    expected = run(name, options, dtype)
    used = request.getfixturevalue("at_once")
    got = run(name, options, dtype)
    assert used
    for a, b in zip(got, expected, strict=True):
        if a.size <= blocked.BLOCK:
            np.testing.assert_array_equal(a, b)
        else:                               # there numbers move out of products, and BLAS rounds sums of them once
            unit = np.finfo(a.dtype).eps
            np.testing.assert_allclose(a, b, rtol=4 * unit, atol=2 * unit)


@pytest.mark.parametrize("layout", test_steps.LAYOUTS)
def test_layouts(layout, at_once):
    twins = Twins("Adam", [(6, 4, 2, 3), (4, 2, 2, 2)], layout=test_steps.LAYOUTS[layout])
    for _ in range(4):
        twins.step()
    assert at_once
    twins.check(rtol=1e-11, atol=1e-13)


def test_threads_share_large_rows(at_once, monkeypatch):
    expected = run("Adam", {}, "float32")
    monkeypatch.setattr(native, "PARALLEL", 1000)
    monkeypatch.setattr(native, "_threads", lambda: 3)
    for a, b in zip(run("Adam", {}, "float32"), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_is_built_after_enough_work(monkeypatch):
    built = []
    monkeypatch.setattr(native.Native, "build", lambda self, dtype: built.append(dtype))
    monkeypatch.setenv("FLOWTORCH_NATIVE", "1")
    kernel = native.Native({}, (), ())
    for _ in range(300):
        kernel.worked(np.dtype("f4"), 10)
        if built:
            break
    assert built == [np.dtype("f4")]
    assert 0.9 * native.ENOUGH < kernel.work["f"] < 1.1 * native.ENOUGH


def test_without_a_compiler_numpy_goes_on(monkeypatch):
    def refuse(source):
        raise compiler.BuildError

    monkeypatch.setattr(compiler, "load", refuse)
    from flowtorch.optim.adam import _adam

    numbers = {"step": 1.0, "lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": None,
               "decoupled": False, "maximize": True}
    kernel = _adam._trace((True, True, True, True, False), numbers)
    kernel.native.build(np.dtype("f4"))
    assert "f" not in kernel.native.functions


def test_arrays_that_do_not_fit_are_left_alone(at_once):
    run("SGD", {}, "float64")
    function = at_once[0].native.functions["d"]
    for other in (np.ones((2, 3)).T, np.ones((6, 2))[:, 0], np.ones(7)):
        param = np.ones(6)
        assert not native.run(function, [[np.ones(6), param], [np.ones(6), other]], [1.0])
        assert param.tolist() == [1.0] * 6


def test_other_array_objects_are_noticed():
    assert not native._sees_arrays(lambda place, facts: 0)
