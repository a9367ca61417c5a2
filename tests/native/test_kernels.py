"""The hand-written kernels against the numpy kernels that they stand for, in double precision.

Run: python -m pytest tests/native/test_kernels.py   (needs a C compiler and Python's headers)
"""

import importlib
from itertools import product

import ml_dtypes
import numpy as np
import pytest

import flowtorch
from flowtorch.native import places, plug
from flowtorch.ops.op import REGISTRY

NAN, INF = np.nan, np.inf


class Declined(Exception):
    pass


def decline(*_, **__):
    raise Declined


def numpy_kernel(name):
    if name in places.FUNCTIONS:
        where, function = places.FUNCTIONS[name]
        found = getattr(importlib.import_module(where), function)
    else:
        found = REGISTRY[name].body
    return getattr(found, "__wrapped__", found)


def numbers(*shape, seed=0, scale=1.0, shift=0.0):
    return (np.random.default_rng(seed).standard_normal(shape) * scale + shift).astype(np.float32)


def as_tuple(x):
    return x if isinstance(x, tuple) else (x,)


def compare(kernels, name, *args, tolerance=1e-6):
    """The kernel must be about as close to the result in double precision as the numpy kernel is."""
    reference = numpy_kernel(name)
    with np.errstate(all="ignore"):
        exact = reference(
            *(a.astype(np.float64) if isinstance(a, np.ndarray) and a.dtype == np.float32 else a for a in args)
        )
        single = reference(*args)
    got = kernels.kernel(name, decline)(*args)
    for best, theirs, ours in zip(as_tuple(exact), as_tuple(single), as_tuple(got), strict=True):
        theirs = np.asarray(theirs)
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        if not ours.size:
            continue
        if ours.dtype.kind != "f":
            np.testing.assert_array_equal(ours, theirs)
            continue
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
        finite = np.isfinite(theirs)
        np.testing.assert_array_equal(ours[~finite], theirs[~finite])
        if finite.any():
            size = np.abs(best[finite]).max() + 1e-30
            error, own = (np.abs(x[finite] - best[finite]).max() / size for x in (ours, theirs))
            assert error <= 3 * own + tolerance, (error, own)


SHAPES = [
    ((5, 7), 1),
    ((5, 7), 0),
    ((3, 64), -1),
    ((2, 3, 1000), 2),
    ((2, 33, 5), 1),
    ((4, 100, 40), 1),
    ((3, 1), 1),
    ((1, 3), 0),
    ((2, 17, 17), 1),
    ((3, 8193), 1),
    ((0, 3), 1),
    ((3, 0), 0),
]


@pytest.mark.parametrize("shape, dim", SHAPES)
@pytest.mark.parametrize("name", ["_softmax", "_log_softmax", "cumsum"])
def test_along_a_dimension(kernels, name, shape, dim):
    for scale in (1, 30):
        compare(kernels, name, numbers(*shape, scale=scale), dim)


@pytest.mark.parametrize("shape, dim", SHAPES)
@pytest.mark.parametrize("name", ["_softmax", "_log_softmax"])
def test_adjoints_along_a_dimension(kernels, name, shape, dim):
    if 0 in shape:
        return
    out = numpy_kernel(name)(numbers(*shape, seed=1), dim)
    compare(kernels, f"{name}_backward", numbers(*shape), out, dim)


@pytest.mark.parametrize("name", ["_softmax", "_log_softmax", "cumsum"])
@pytest.mark.parametrize("width", [3, 40])
def test_special_values_along_a_dimension(kernels, name, width):
    rows = [[1, NAN, 2], [INF, 1, 2], [-INF, 1, 2], [-INF] * 3, [INF, INF, 0], [0.0, -0.0, 1], [1, -INF, INF]]
    x = np.array([np.resize(r, width) for r in rows], np.float32)
    compare(kernels, name, x, 1)
    compare(kernels, name, np.ascontiguousarray(x.T), 0)


@pytest.mark.parametrize("rows, n", [(3, 5), (7, 64), (64, 512), (2, 20000), (1, 1), (33, 17)])
@pytest.mark.parametrize("weight", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_layer_norm(kernels, rows, n, weight, bias):
    x = numbers(rows, n, scale=3, shift=5)
    w, b = numbers(n, seed=1) if weight else None, numbers(n, seed=2) if bias else None
    compare(kernels, "_layer_norm", x, w, b, n, 1e-5)
    compare(kernels, "_layer_norm_adjoint", numbers(rows, n, seed=3), x, w, n, 1e-5, bias)


@pytest.mark.parametrize(
    "shape, dims",
    [
        ((4, 3, 8, 8), (0, 2, 3)),
        ((4, 3, 5000), (0, 2)),
        ((6, 4, 33), (2,)),
        ((2, 3, 4, 5), (1, 2, 3)),
        ((16, 64, 14, 14), (0, 2, 3)),
    ],
)
def test_standardize(kernels, shape, dims):
    x = numbers(*shape, scale=3, shift=5)
    compare(kernels, "_standardize", x, dims, 1e-5)
    compare(kernels, "_standardize_adjoint", numbers(*shape, seed=1), x, dims, 1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "shape", [(5,), (20000,), (700000,), (3, 4, 5), (100, 1000), (130, 7), (4, 70, 129), (3, 5, 4, 9)], ids=str
)
def test_sum(kernels, dtype, shape):
    x = numbers(*shape, shift=0.5).astype(dtype)
    ours, theirs = kernels.kernel("sum", decline), numpy_kernel("sum")
    for dim, keep in product((None, 0, -1, (0,), (0, 1), (1, 2), (0, 2), (0, 2, 3)), (False, True)):
        if isinstance(dim, tuple) and max(dim) >= x.ndim:
            continue
        try:
            got = ours(x, dim, keep)
        except Declined:
            # sums of whole rows in double precision; dimensions that are no neighbours
            assert (dtype is np.float64 and dim is not None) or (dim == (0, 2) and x.ndim == 4)
            continue
        want = np.asarray(theirs(x.astype(np.float64), dim, keep))
        assert got.shape == want.shape and got.dtype == dtype
        total = np.abs(x.astype(np.float64)).sum(axis=dim, keepdims=keep)
        assert (np.abs(got - want) / total).max() < 8 * np.finfo(dtype).eps


def test_infinite_columns_stay_infinite(kernels):
    x = np.ones((300, 70), np.float32)
    x[3, 5], x[200, 6], x[9, 69] = INF, -INF, INF
    np.testing.assert_array_equal(kernels.kernel("sum", decline)(x, 0, False), x.sum(0))
    np.testing.assert_array_equal(kernels.kernel("cumsum", decline)(x, 0), np.cumsum(x, 0))


def test_sums_and_norms_of_special_values(kernels):
    for values in ([1, NAN], [INF, 1], [INF, -INF], [3e38, 3e38], [-0.0, -0.0], [1e-45] * 3):
        x = np.array(values, np.float32)
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(kernels.kernel("sum", decline)(x, None, False), np.add.reduce(x))
            np.testing.assert_array_equal(
                kernels.kernel("_vector_norm", decline)(x, 2.0, None, False),
                numpy_kernel("_vector_norm")(x, 2.0, None, False),
            )


@pytest.mark.parametrize("shape", [(4, 5, 7, 9), (8, 40, 2, 2), (3, 4, 40), (1, 2, 9000), (2, 3, 2, 3, 3), (5, 3, 1)])
@pytest.mark.parametrize("weight, bias", [(True, True), (True, False), (False, True), (False, False)])
def test_batch_norm(kernels, shape, weight, bias):
    x, g = numbers(*shape, seed=1) + 3, numbers(*shape, seed=2)
    w, b = (numbers(shape[1], seed=k) if there else None for k, there in ((3, weight), (4, bias)))
    compare(kernels, "_batch_norm", x, w, b, 1e-5, tolerance=3e-6)
    compare(kernels, "_batch_norm_adjoint", g, x, w, 1e-5, tolerance=2e-5)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("rows, classes", [(1, 1), (5, 3), (64, 1000), (300, 17)])
def test_cross_entropy(kernels, reduction, rows, classes):
    x, target = numbers(rows, classes, scale=5), np.random.default_rng(0).integers(0, classes, rows)
    compare(kernels, "_cross_entropy", x, target, None, reduction, -100)
    g = numbers(rows, seed=1) if reduction == "none" else np.array(0.7, np.float32)
    compare(kernels, "_cross_entropy_backward", g, x, target, None, reduction, -100)


@pytest.mark.parametrize(
    "target, weight, ignored",
    [([0, 3], None, -100), ([0, -100], None, -100), ([0, 1], None, 1), ([0, 1], np.ones(3, np.float32), -100)],
)
def test_cross_entropy_leaves_the_rest_to_numpy(kernels, target, weight, ignored):
    with pytest.raises(Declined):
        kernels.kernel("_cross_entropy", decline)(numbers(2, 3), np.array(target), weight, "mean", ignored)


@pytest.mark.parametrize(
    "kernel, stride, padding, dilation, ceil",
    [
        ((2, 2), (2, 2), (0, 0), (1, 1), False),
        ((3, 3), (2, 2), (1, 1), (1, 1), True),
        ((3, 2), (1, 2), (1, 0), (2, 1), False),
        ((3, 3), (3, 3), (0, 0), (1, 1), True),
        ((1, 1), (2, 2), (0, 0), (1, 1), False),
    ],
)
def test_max_pool(kernels, kernel, stride, padding, dilation, ceil):
    x = np.round(numbers(2, 3, 11, 9))  # with equal numbers
    x[0, 0, 3, 3:5], x[1, 1] = NAN, -INF
    compare(kernels, "_max_pool", x, kernel, stride, padding, dilation, ceil)


# images, channels, channels out, groups, size, kernel, stride, padding, dilation
CONVOLUTIONS = [
    *((2, 3, 4, 1, (11, 9), (k, k), (s, s), (p, p), (d, d))
      for k, s, p, d in product((1, 2, 3, 5), (1, 2, 3), (0, 1, 2), (1, 2)) if d * (k - 1) < 9),
    (1, 64, 64, 1, (14, 14), (3, 3), (1, 1), (1, 1), (1, 1)), (2, 16, 33, 1, (7, 7), (3, 3), (1, 1), (1, 1), (1, 1)),
    (2, 8, 8, 8, (12, 12), (3, 3), (1, 1), (1, 1), (1, 1)), (2, 8, 16, 8, (12, 12), (3, 3), (2, 2), (1, 1), (1, 1)),
    (2, 12, 6, 3, (9, 30), (3, 5), (2, 1), (1, 2), (1, 3)), (1, 3, 64, 1, (40, 40), (7, 7), (2, 2), (3, 3), (1, 1)),
    (3, 5, 7, 1, (300,), (9,), (1,), (4,), (1,)), (2, 4, 4, 2, (1000,), (3,), (2,), (0,), (3,)),
    (9, 2, 3, 1, (100, 130), (3, 3), (1, 1), (1, 1), (1, 1)), (200, 16, 8, 1, (28, 28), (3, 3), (1, 1), (1, 1), (1, 1)),
    (1, 1, 1, 1, (3, 3), (3, 3), (1, 1), (0, 0), (1, 1)),
    (130, 96, 40, 1, (4, 4), (3, 3), (1, 1), (1, 1), (1, 1)), (9, 48, 80, 1, (8, 8), (3, 3), (2, 2), (1, 1), (1, 1)),
    (3, 33, 20, 1, (2, 2), (3, 3), (1, 1), (1, 1), (1, 1)), (2, 40, 17, 1, (19, 3), (4, 2), (3, 1), (2, 1), (2, 1)),
    (5, 32, 18, 1, (21,), (3,), (1,), (1,), (1,)), (2, 35, 16, 1, (9, 9), (1, 1), (2, 2), (0, 0), (1, 1)),
    (3, 46, 70, 2, (13, 10), (3, 3), (1, 1), (1, 1), (1, 1)), (1, 17, 50, 1, (2000,), (3,), (1,), (1,), (1,)),
    (3, 40, 70, 2, (9, 7), (1, 1), (1, 1), (0, 0), (1, 1)), (1, 64, 16, 1, (23,), (1,), (1,), (0,), (1,)),
    (2, 18, 16, 1, (11, 20), (3, 2), (1, 1), (0, 0), (1, 1)),
    (2, 150, 20, 1, (5, 6), (3, 3), (2, 1), (0, 2), (2, 1)), (40, 20, 24, 1, (40, 40), (3, 3), (1, 1), (1, 1), (1, 1)),
]  # fmt: skip


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolution(kernels, case):
    n, c, f, groups, size, kernel, *options = case
    if all(k == 1 for k in kernel) and all(s == 1 for s in options[0]) and not any(options[1]) and c < 16:
        return  # a product of small matrices, left to BLAS
    x, w, b = numbers(n, c, *size), numbers(f, c // groups, *kernel, seed=1), numbers(f, seed=2)
    out = numpy_kernel("convolution")(x, w, None, *options, groups, None)
    g = numbers(*out.shape, seed=3)
    compare(kernels, "convolution", x, w, b, *options, groups, None, tolerance=3e-6)
    compare(kernels, "convolution", x, w, None, *options, groups, None, tolerance=3e-6)
    compare(kernels, "convolution_input", g, w, size, *options, groups, tolerance=3e-6)
    compare(kernels, "convolution_weight", g, x, kernel, *options, groups, tolerance=3e-6)


def test_convolution_is_the_same_on_any_number_of_threads(kernels):
    x, w = numbers(4, 32, 28, 28), numbers(48, 32, 3, 3, seed=1)
    options, before = ((1, 1), (1, 1), (1, 1), 1), kernels.threads()
    results = []
    for threads in (1, 2, 4):
        kernels.threads(threads)
        out = kernels.kernel("convolution", decline)(x, w, None, *options, None)
        results.append((out, kernels.kernel("convolution_weight", decline)(out, x, (3, 3), *options)))
    kernels.threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_, ml_dtypes.bfloat16])
@pytest.mark.parametrize(
    "size, dim, shape", [((7,), 0, (5,)), ((3, 9), 1, (4, 6)), ((9, 3), 0, (6, 4)), ((2, 5, 3), 1, (3, 4, 3))]
)
def test_gather(kernels, dtype, size, dim, shape):
    x, index = numbers(*shape, scale=9).astype(dtype), np.random.default_rng(1).integers(0, shape[dim], size)
    for d in (dim, dim - len(shape)):
        got = kernels.kernel("gather", decline)(x, d, index)
        assert got.dtype == x.dtype
        np.testing.assert_array_equal(got, numpy_kernel("gather")(x, d, index))
    for bad in (-1, shape[dim]):
        index.flat[-1] = bad
        with pytest.raises(Declined):
            kernels.kernel("gather", decline)(x, dim, index)


@pytest.mark.parametrize("name", ["amax", "amin"])
@pytest.mark.parametrize("dim", [-1, 2, (1, 2), (2, 1)])
def test_extremes_of_rows(kernels, name, dim):
    for columns in (1, 5, 16, 33, 200):
        x = numbers(4, 3, columns)
        x[0, 1], x[1, 0, columns // 2], x[2, 0, 0] = INF, NAN, -INF
        x[3, 1] = -INF
        for keep in (False, True):
            got, want = kernels.kernel(name, decline)(x, dim, keep), numpy_kernel(name)(x, dim, keep)
            assert got.shape == want.shape and got.dtype == want.dtype
            np.testing.assert_array_equal(got, want)
    with pytest.raises(Declined):
        kernels.kernel(name, decline)(numbers(3, 4), 0)


@pytest.mark.parametrize("rows, columns", [(5, 7), (128, 256), (3, 1), (64, 33)])
@pytest.mark.parametrize("first", [-1, 0, 20])
def test_scores_of_attention(kernels, rows, columns, first):
    room = numbers(rows, columns + 3)
    room[1, :columns] = -INF
    wide, plain = room.copy(), room[:, :columns].copy()
    kernels.kernel("softmax_of_scores", decline)(wide[:, :columns], 0.3, first)
    numpy_kernel("softmax_of_scores")(plain, 0.3, first)
    np.testing.assert_allclose(wide[:, :columns], plain, rtol=2e-6, atol=1e-7)
    np.testing.assert_array_equal(wide[:, columns:], room[:, columns:])
    d, theirs = numbers(rows, columns, seed=1), numbers(rows, columns, seed=1)
    kernels.kernel("adjoint_of_scores", decline)(d, plain, 0.3)
    numpy_kernel("adjoint_of_scores")(theirs, plain, 0.3)
    np.testing.assert_allclose(d, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("first", [-1, 0, 3])
def test_scores_of_many_heads(kernels, first):
    ours, theirs = numbers(2, 3, 9, 17), numbers(2, 3, 9, 17)
    kernels.kernel("softmax_of_scores", decline)(ours, 0.3, first)
    numpy_kernel("softmax_of_scores")(theirs, 0.3, first)
    np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-7)
    d, want = numbers(2, 3, 9, 17, seed=1), numbers(2, 3, 9, 17, seed=1)
    kernels.kernel("adjoint_of_scores", decline)(d, theirs, 1.0)
    numpy_kernel("adjoint_of_scores")(want, theirs, 1.0)
    np.testing.assert_allclose(d, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "lead, length, steps, width, value_width, causal",
    [((2, 3), 130, 130, 16, 16, True), ((2,), 70, 300, 5, 1, True), ((3,), 300, 70, 33, 20, True),
     ((1, 2), 65, 600, 128, 7, False)],
)  # fmt: skip
def test_heads(kernels, lead, length, steps, width, value_width, causal):
    query, key = numbers(*lead, length, width), numbers(steps, *lead, width, seed=1)
    value, grad = numbers(*lead, steps, value_width, seed=2), numbers(*lead, length, value_width, seed=3)
    key = np.moveaxis(key, 0, -2)  # heads side by side, as projections leave them

    def run(fill, gradients, dtype):
        q, k, v, g = (x.astype(dtype, order="A") for x in (query, key, value, grad))
        weights, out = np.full((*lead, length, steps), NAN, dtype), np.full(g.shape, NAN, dtype)
        fill(q, k, v, weights, out, causal, 0.3)
        results = [np.full(x.shape, NAN, dtype) for x in (query, key, value)]
        gradients(g, weights, q, k, v, *results, causal, 0.3)
        return weights, out, *results

    exact = run(numpy_kernel("fill_heads"), numpy_kernel("fill_gradients"), np.float64)
    ours = run(kernels.kernel("fill_heads", decline), kernels.kernel("fill_gradients", decline), np.float32)
    for x, y in zip(ours, exact, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=2e-6 * np.abs(y).max())
    with pytest.raises(Declined):
        kernels.kernel("fill_heads", decline)(query, key, value, ours[0], exact[1], causal, 0.3)


@pytest.mark.parametrize("low", [np.float16, ml_dtypes.bfloat16], ids=["float16", "bfloat16"])
def test_casts_are_exact(kernels, low):
    cast = kernels.kernel("astype", decline)
    every = np.arange(1 << 16, dtype=np.uint16).view(low)
    wide = every.astype(np.float32)
    np.testing.assert_array_equal(cast(every, np.dtype(np.float32)), wide)
    between = np.concatenate([wide * np.float32(f) for f in (1, 1 + 2**-9, 1 + 2**-12, 1 - 2**-10, 1 - 2**-24)])
    with np.errstate(all="ignore"):
        want = between.astype(low)
    got = cast(between, np.dtype(low))
    assert got.dtype == low
    number = ~np.isnan(between)
    np.testing.assert_array_equal(got.view(np.uint16)[number], want.view(np.uint16)[number])
    assert np.isnan(got[~number].astype(np.float32)).all()
    turned = np.ascontiguousarray(wide[:600].reshape(20, 30).T).T
    assert cast(turned, np.dtype(low)).strides == turned.astype(low).strides


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n, k, d", [(5, 40, 1), (7, 100, 3), (1000, 300, 64), (3, 2000, 130), (4, 0, 5)])
def test_sums_at_repeated_positions(kernels, dtype, n, k, d):
    rng = np.random.default_rng(0)
    rows, values = rng.integers(0, n, k), rng.standard_normal((k, d)).astype(dtype)
    ours = rng.standard_normal((n, d)).astype(dtype)
    want = ours.astype(np.float64)
    np.add.at(want, rows, values)
    flat = ours[:, 0].copy()
    kernels.kernel("add_rows", decline)(ours, rows, values)
    np.testing.assert_allclose(ours, want, rtol=1e-4 if dtype is np.float32 else 1e-12, atol=1e-4)
    kernels.kernel("accumulate", decline)(flat, rows, values[:, 0].copy(), "sum")
    np.testing.assert_array_equal(flat, ours[:, 0])


@pytest.mark.parametrize("rows", [[0, 3], [-1, 0]])
def test_positions_outside_are_left_to_numpy(kernels, rows):
    with pytest.raises(Declined):
        kernels.kernel("add_rows", decline)(numbers(3, 2), np.array(rows), numbers(2, 2))
    with pytest.raises(Declined):
        kernels.kernel("accumulate", decline)(numbers(3), np.array(rows), numbers(2), "sum")


@pytest.mark.parametrize("size, dim, shape", [((4, 5), 0, (7, 5)), ((4, 5), 1, (4, 9)), ((3, 4, 5), 1, (6, 8, 7)),
                                              ((2, 3, 2, 3), 0, (5, 3, 4, 3)), ((100, 70), 1, (100, 80))])
def test_flat_index(kernels, size, dim, shape):
    index = np.random.default_rng(0).integers(0, shape[dim], size)
    got = kernels.kernel("flat_index", decline)(index, dim, shape)
    np.testing.assert_array_equal(got, numpy_kernel("flat_index")(index, dim, shape))


def draws():
    flowtorch.manual_seed(3)
    tensors = [
        flowtorch.randn(100003),
        flowtorch.empty(48).normal_(2, 3),
        flowtorch.empty(100).normal_(-1.5, 0.3),
        flowtorch.randperm(5000),
        flowtorch.rand(12345),
        flowtorch.randn(77, dtype=flowtorch.bfloat16).float(),
        flowtorch.nn.functional.dropout(flowtorch.ones(9999), 0.3),
    ]
    return [t.numpy() for t in tensors]


def test_random_streams_are_the_same_to_the_bit(kernels):
    installed = hasattr(REGISTRY["_softmax"].body, "native")
    plug.install(kernels) if not installed else None
    try:
        ours = draws()
        plug.remove()
        theirs = draws()
    finally:
        plug.install(kernels) if installed else None
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_kernels_leave_no_trace_when_they_are_taken_out(kernels):
    installed = hasattr(REGISTRY["_softmax"].body, "native")
    x = flowtorch.tensor([1.0, -2.0])
    plug.remove()
    try:
        flowtorch.relu(x)
        assert not hasattr(flowtorch.relu.op.plans[x._type][0], "native")
        plug.install(kernels)
        flowtorch.relu(x)
        assert flowtorch.relu.op.plans[x._type][0].native == "relu"
        plug.remove()
        assert not any(hasattr(REGISTRY[n].body, "native") for n in places.BODIES)
    finally:
        plug.install(kernels) if installed else None


@pytest.mark.parametrize("size", [0, 1, 1000, 1_000_003])
@pytest.mark.parametrize(
    "pair", ["float32 float64", "float64 float32", "int32 float32", "int64 float32", "int32 int64", "int64 int32",
             "bool float32"],
)  # fmt: skip
def test_casts_of_numbers_are_those_of_numpy(kernels, pair, size):
    source, target = (np.dtype(name) for name in pair.split())
    words = np.random.default_rng(0).integers(0, 256, (size + 1) * source.itemsize, np.uint8)
    for offset in (0, source.itemsize):  # results begin anywhere in a line of the cache, operands at any element
        x = words[offset : offset + size * source.itemsize].view(source)
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(kernels.kernel("astype", decline)(x, target), x.astype(target))


@pytest.mark.parametrize("pair", ["float64 int32", "float32 float32", "float32 bool", "complex64 float32"])
def test_other_casts_are_left_to_numpy(kernels, pair):
    source, target = (np.dtype(name) for name in pair.split())
    with pytest.raises(Declined):
        kernels.kernel("astype", decline)(np.ones(3, source), target)
