"""Every generated pointwise loop against the numpy kernel of its op: dtypes, layouts, special values, parameters.

Run: python -m pytest tests/native/test_pointwise.py   (needs a C compiler and Python's headers)
"""

import warnings
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import flowtorch
from flowtorch.native import render
from flowtorch.ops import families
from flowtorch.ops.op import REGISTRY

CASES = [(name, kind) for name, kinds in render.OPS.items() for kind in kinds]
SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-38, 3e38, -3e38, 0.5, 100.0, -100.0, 88.5]
# Errors in units in the last place of the result; what is not here must agree to the bit. numpy's own are among them.
ULP = {
    "exp": 3,
    "expm1": 2,
    "elu": 2,
    "huber": 2,
    "log": 3,
    "tanh": 4,
    "erf": 4,
    "erfc": 8,
    "lgamma": 8,
    "sigmoid": 5,
    "silu": 6,
    "gelu": 8,
    "gelu_tanh": 8,
    "rsqrt": 2,
    "lerp": 2,
    "addcdiv": 2,
    "addcmul": 2,
    "_gelu_backward": 40,
    "_silu_backward": 16,
    "_sigmoid_backward": 0,
}


class Declined(Exception):
    pass


def decline(*_, **__):
    raise Declined


def reference(op):
    """The numpy kernel, on operands that are read only."""
    kernel = op.ufunc or op.body
    kernel = getattr(kernel, "__wrapped__", kernel)

    def call(*arrays, **params):
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(kernel(*arrays, **params))

    return call


def number(op, name):
    """Something for a parameter without a default."""
    return {"threshold": 0.25, "value": -3.0}.get(name, 0.5)


def parameters(op):
    names = [n for n in op.params if n not in render.FIXED.get(op.name, ())]
    return {n: number(op, n) for n in names if op.defaults.get(n, None) is None}


def operands(op, kind, shape, seed=0):
    rng = np.random.default_rng(seed)
    arrays = []
    for name in op.tensors:
        if name == "condition" or kind == "bool":
            arrays.append(np.asarray(rng.integers(0, 2, shape)).astype(bool))
        elif kind == "int64":
            arrays.append(np.asarray(rng.integers(-50, 50, shape)))
        else:
            arrays.append(np.asarray(rng.standard_normal(shape) * 3).astype(kind))
    return arrays


def agree(op, got, want, scale=None):
    assert got.dtype == want.dtype and got.shape == want.shape
    if want.dtype.kind != "f" or op.name not in ULP:
        np.testing.assert_array_equal(got, want)
        if want.dtype.kind == "f":
            number = ~np.isnan(want)
            np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(want[number]))
        return
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite & ~np.isnan(want)], want[~finite & ~np.isnan(want)])
    if op.name == "lgamma":
        scale = 1.0  # between its zeros numpy's tier is off by thousands of the small results' units
    unit = np.spacing(np.maximum(np.abs(want[finite]), 1e-30 if scale is None else scale))
    error = np.abs(got[finite].astype(np.float64) - want[finite]) / unit
    assert not error.size or error.max() <= ULP[op.name], f"{error.max()} units at {want[finite][error.argmax()]}"


def magnitude(op):
    # Where a difference of close numbers is the result, the error is that of the numbers.
    return {
        "gelu": 0.5,
        "_gelu_backward": 4.0,
        "_silu_backward": 4.0,
        "gelu_tanh": 0.5,
        "lerp": 4.0,
        "addcmul": 16.0,
        "addcdiv": 16.0,
    }.get(op.name)


@pytest.mark.parametrize("name, kind", CASES)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (16,), (33,), (3, 5), (70000,)], ids=str)
def test_values(kernels, name, kind, shape):
    op = REGISTRY[name]
    kernel = kernels.kernel(name, decline)
    arrays, params = operands(op, kind, shape), parameters(op)
    agree(op, kernel(*arrays, **params), reference(op)(*arrays, **params), magnitude(op))


@pytest.mark.parametrize("name, kind", [c for c in CASES if c[1].startswith("float")])
def test_special_values(kernels, name, kind):
    op = REGISTRY[name]
    # numpy's gelu overflows on the way to numbers that are none too large
    values = np.array([x for x in SPECIAL if abs(x) != 3e38 or not name.startswith("gelu")], kind)
    count = sum(n != "condition" for n in op.tensors)
    grid = iter(np.meshgrid(*[values] * count))
    arrays = [
        np.resize([True, False, False], (len(values),) * max(count, 1)) if n == "condition" else next(grid).copy()
        for n in op.tensors
    ]
    params = parameters(op)
    agree(op, kernels.kernel(name, decline)(*arrays, **params), reference(op)(*arrays, **params), magnitude(op))


def layouts(x):
    """The same numbers transposed, strided and expanded."""
    wide = np.empty((x.shape[0], 2 * x.shape[1]), x.dtype)
    wide[:, ::2] = x
    return {
        "transposed": np.ascontiguousarray(x.T).T,
        "strided": wide[:, ::2],
        "shifted": np.concatenate([x.ravel()[:1], x.ravel()])[1:].reshape(x.shape),
    }


@pytest.mark.parametrize("name, kind", CASES)
@pytest.mark.parametrize("layout", ["transposed", "strided", "shifted"])
def test_layouts(kernels, name, kind, layout):
    op = REGISTRY[name]
    arrays = [layouts(a)[layout] for a in operands(op, kind, (9, 13))]
    params = parameters(op)
    got, want = kernels.kernel(name, decline)(*arrays, **params), reference(op)(*arrays, **params)
    agree(op, got, want, magnitude(op))
    if op.ufunc is not None:
        assert got.strides == want.strides


@pytest.mark.parametrize("name, kind", [c for c in CASES if len(REGISTRY[c[0]].tensors) > 1])
@pytest.mark.parametrize(
    "shapes", [((4, 5), ()), ((), (4, 5)), ((4, 5), (5,)), ((4, 1), (1, 5)), ((2, 3000), (2, 1))], ids=str
)
def test_broadcasting(kernels, name, kind, shapes):
    op = REGISTRY[name]
    arrays = [operands(op, kind, shapes[min(k, 1)], seed=k)[k] for k in range(len(op.tensors))]
    params = parameters(op)
    agree(op, kernels.kernel(name, decline)(*arrays, **params), reference(op)(*arrays, **params), magnitude(op))


@pytest.mark.parametrize("name, kind", [c for c in CASES if len(REGISTRY[c[0]].tensors) > 1])
@pytest.mark.parametrize("at", [0, -1])
@pytest.mark.parametrize(
    "expanded, layout", [((1, 1), "shifted"), ((1, 1), "transposed"), ((9, 1), "shifted"), ((1, 13), "strided")]
)
def test_expanded_operands(kernels, name, kind, at, expanded, layout):
    op = REGISTRY[name]
    arrays, params = [layouts(a)[layout] for a in operands(op, kind, (9, 13))], parameters(op)
    arrays[at] = np.broadcast_to(arrays[at][: expanded[0], : expanded[1]], (9, 13))  # as the gradient of a sum is
    got, want = kernels.kernel(name, decline)(*arrays, **params), reference(op)(*arrays, **params)
    agree(op, got, want, magnitude(op))
    if op.ufunc is not None:
        assert got.strides == want.strides


@pytest.mark.parametrize("name, kind", CASES)
def test_into_an_operand(kernels, name, kind):
    op = REGISTRY[name]
    arrays, params = operands(op, kind, (50,)), parameters(op)
    want = reference(op)(*arrays, **params)
    if want.dtype != arrays[-1].dtype:
        pytest.skip("the result has another dtype")
    got = kernels.kernel(name, decline)(*arrays, arrays[-1], **params)
    assert got is arrays[-1]
    agree(op, got, want, magnitude(op))


@pytest.mark.parametrize("low", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("name", sorted({n for n, k in CASES if k == "float32"}))
def test_low_precision_is_rounded_once(kernels, name, low):
    op = REGISTRY[name]
    arrays, params = [a if a.dtype == bool else a.astype(low) for a in operands(op, "float32", (300,))], parameters(op)
    got = kernels.kernel(name, decline)(*arrays, **params)
    out = None if op.promote == "bool" else np.dtype(low)
    with np.errstate(all="ignore"):
        want = np.asarray(families.rounding(reference(op), out)(*arrays, **params))
    assert got.dtype == want.dtype
    ours, theirs = got.astype(np.float64), want.astype(np.float64)
    step = np.abs(theirs) * float(ml_dtypes.finfo(low).eps) + 1e-6 * (magnitude(op) or 0.1)
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs)) | (np.abs(ours - theirs) <= step)
    # float32 results that lie next to the middle of two numbers may be rounded to either
    few = 0.1 if "gelu" in name else 0.02
    assert same.all() and (ours != theirs)[~np.isnan(theirs)].mean() < few


def test_overlapping_output_is_left_to_numpy(kernels):
    x = np.arange(10, dtype=np.float32)
    with pytest.raises(Declined):
        kernels.kernel("add", decline)(x[:-1], x[:-1], x[1:])


@pytest.mark.parametrize(
    "bad",
    [[1.0, 2.0], np.zeros(3, np.int32), np.zeros(3, np.complex64), np.zeros(3, ">f4"), np.ma.zeros(3), None, "text"],
    ids=str,
)
def test_other_operands_are_left_to_numpy(kernels, bad):
    for arguments in [(bad,), (bad, np.zeros(3, np.float32)), (np.zeros(3, np.float32), bad), ()]:
        with pytest.raises(Declined):
            kernels.kernel("add", decline)(*arguments)


def test_shapes_that_do_not_broadcast_are_left_to_numpy(kernels):
    with pytest.raises(Declined):
        kernels.kernel("add", decline)(np.zeros((2, 3), np.float32), np.zeros(4, np.float32))


def test_the_loops_in_the_repository_are_those_of_the_expressions():
    for name, text in render.render().items():
        stored = Path(render.__file__).with_name(name).read_text()
        assert stored == text, f"{name} is out of date: python -m flowtorch.native.render"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_powers(kernels, dtype):
    x = np.array([*SPECIAL, *np.random.default_rng(0).standard_normal(100_000)], dtype)
    for exponent in (2, 3, 0.5, -1, -2, -0.5):
        e = np.array(exponent, dtype)
        for part in (x, x[:7], x[:1].reshape(()), x[:0]):
            got = kernels.kernel("pow", decline)(part, e)
            with np.errstate(all="ignore"):
                np.testing.assert_array_equal(got, REGISTRY["pow"].body(part, e))
            assert got.dtype == dtype and got.shape == part.shape
    for args in ((x, np.array(4, dtype)), (x[::2], np.array(2, dtype)), (x, np.full(x.shape, 2, dtype))):
        with pytest.raises(Declined):
            kernels.kernel("pow", decline)(*args)


def test_every_kernel_has_a_place(kernels):
    from flowtorch.native import places

    known = {*render.OPS, *places.POINTWISE, *places.BODIES, *places.FUNCTIONS}
    assert set(kernels.names()) == known, set(kernels.names()) ^ known
    assert flowtorch.native.describe()


@pytest.mark.parametrize("name, code", [("exp", "f"), ("add", "f"), ("mul", "d"), ("gt", "f")])
def test_large_results_are_those_of_small_ones(name, code):
    """Results that are written past the caches: new memory begins anywhere, operands at any element."""
    function, size = getattr(flowtorch, name), 4_000_003
    room = np.random.default_rng(0).standard_normal((2, size + 3)).astype(code)
    for offset in (0, 1, 3):
        parts = [flowtorch.from_numpy(r[offset : offset + size]) for r in room][: 1 if name == "exp" else 2]
        whole = function(*parts).numpy()
        pieces = [function(*(p[at : at + 5000] for p in parts)).numpy() for at in range(0, size, 5000)]
        np.testing.assert_array_equal(whole, np.concatenate(pieces))
