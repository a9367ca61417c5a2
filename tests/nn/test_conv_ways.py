"""The ways of convolution in numpy agree with torch's kernels, on any number of threads and with any BLAS."""

import numpy as np
import pytest
import torch

import flowtorch
from flowtorch.array import blas
from flowtorch.ops import conv_depthwise, conv_geometry, conv_kernels

# (images, channels, size), (outputs, kernel), options of conv2d; large enough for every way that products may take
CASES = {
    "rows": ((5, 32, (24, 20)), (40, (3, 3)), {"padding": 1}),
    "rows, dilated": ((3, 32, (24, 21)), (32, (3, 5)), {"padding": (2, 4), "dilation": 2}),
    "rows, narrower": ((3, 32, (24, 21)), (32, (3, 3)), {"padding": (1, 0)}),
    "rows, wider": ((3, 32, (24, 21)), (32, (3, 2)), {"padding": (1, 1)}),
    "columns": ((9, 6, (7, 5)), (4, (3, 3)), {"padding": 1}),
    "columns, dilated beyond the image": ((4, 6, (7, 3)), (4, (3, 3)), {"padding": (3, 4), "dilation": (3, 4)}),
    "columns, other size": ((9, 6, (7, 5)), (4, (2, 3)), {"padding": 1}),
    "columns, groups": ((9, 6, (7, 5)), (4, (3, 3)), {"padding": 1, "groups": 2}),
    "columns, strided": ((9, 6, (9, 11)), (4, (3, 3)), {"padding": 1, "stride": (2, 3)}),
    "one number": ((4, 32, (25, 27)), (16, (1, 1)), {}),
    "one number, strided": ((4, 16, (25, 27)), (24, (1, 1)), {"stride": 2}),
    "much to do": ((8, 64, (14, 14)), (64, (3, 3)), {"padding": 1, "stride": 2}),
    "lines": ((3, 3, (20, 215)), (8, (7, 7)), {"padding": 3, "stride": 2}),
    "lines, dilated": ((2, 3, (20, 310)), (8, (3, 5)), {"padding": (0, 4), "stride": (1, 3), "dilation": (1, 2)}),
    "lines, far outside": ((2, 3, (20, 200)), (8, (3, 3)), {"padding": (1, 99), "stride": 2, "dilation": (1, 90)}),
    "depthwise": ((5, 40, (14, 11)), (40, (3, 5)), {"padding": (1, 2), "groups": 40}),
    "depthwise, dilated": ((5, 40, (14, 11)), (40, (3, 3)), {"padding": 3, "dilation": 3, "groups": 40}),
}


def _results(x, w, g, options):
    with np.errstate(all="ignore"):
        x, w = (flowtorch.tensor(a, requires_grad=True) for a in (x, w))
        y = flowtorch.nn.functional.conv2d(x, w, **options)
        y.backward(flowtorch.tensor(g))
    return [t.detach().numpy() for t in (y, x.grad, w.grad)]


def _case(name, dtype=np.float32):
    (n, c, size), (f, kernel), options = CASES[name]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, c, *size)).astype(dtype)
    w = rng.normal(size=(f, c // options.get("groups", 1), *kernel)).astype(dtype)
    wide = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (x, w)]
    y = torch.nn.functional.conv2d(*wide, **options)
    g = rng.normal(size=y.shape).astype(dtype)
    y.backward(torch.tensor(g, dtype=torch.float64))
    return x, w, g, options, [y.detach().numpy(), *(t.grad.numpy() for t in wide)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("blas_is", ["there", "absent"])
def test_values_and_gradients(name, blas_is, monkeypatch):
    if blas_is == "absent":
        monkeypatch.setattr(blas, "_gemm", lambda char: None)
    for dtype, tolerance in ((np.float32, 2e-6), (np.float64, 1e-14)):
        x, w, g, options, expected = _case(name, dtype)
        for got, exact in zip(_results(x, w, g, options), expected, strict=True):
            assert got.dtype == dtype and np.abs(got - exact).max() <= tolerance * np.abs(exact).max()


@pytest.mark.parametrize("name", CASES)
def test_threads_change_nothing(name, monkeypatch):
    x, w, grad, options, _ = _case(name)
    stride, padding, dilation = (v if isinstance(v, tuple) else (v, v) for v in (
        options.get("stride", 1), options.get("padding", 0), options.get("dilation", 1)))
    groups = options.get("groups", 1)
    g = conv_geometry.Geometry(groups, w.shape[1], len(w) // groups, x.shape[2:], w.shape[2:], grad.shape[2:],
                               stride, padding, dilation)
    monkeypatch.setattr(conv_geometry, "_WORTH", 1)  # every image is worth a thread
    before, results = flowtorch.get_num_threads(), []
    for threads in (1, 2, 3):
        flowtorch.set_num_threads(threads)
        way = conv_depthwise if groups == len(w) else conv_kernels
        results.append([way.forward(x, w, g, x.dtype), way.input_gradient(grad, w, g, x.dtype),
                        way.weight_gradient(grad, x, g, x.dtype)])
    flowtorch.set_num_threads(before)
    for others in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], others, strict=True))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_special_number_reaches_only_what_it_meets(name, value):
    x, w, g, options, _ = _case(name)
    x[0, 0, 3, 1] = g[0, 0, 1, 1] = value
    x_, w_ = (torch.tensor(a, requires_grad=True) for a in (x, w))
    y = torch.nn.functional.conv2d(x_, w_, **options)
    y.backward(torch.tensor(g))
    got = _results(x, w, g, options)
    assert np.array_equal(np.isfinite(got[0]), y.detach().isfinite().numpy())
    assert np.array_equal(np.isfinite(got[1]), x_.grad.isfinite().numpy())


def test_nothing_to_add_gives_zeros():
    g = conv_geometry.Geometry(1, 3, 2, (4, 4), (1, 1), (4, 4), (1, 1), (0, 0), (1, 1))
    empty = np.zeros((0, 3, 4, 4), "f"), np.zeros((2, 3, 1, 1), "f"), np.zeros((0, 2, 4, 4), "f")
    f = np.dtype("f")
    assert conv_kernels.forward(empty[0], empty[1], g, f).shape == (0, 2, 4, 4)
    assert conv_kernels.input_gradient(empty[2], empty[1], g, f).shape == (0, 3, 4, 4)
    assert not conv_kernels.weight_gradient(empty[2], empty[0], g, f).any()
