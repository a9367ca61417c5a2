"""Convolution with one channel a group against PyTorch: wide rows, strides, dilation, crops, and infinities."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import flowtorch as ft

# images, channels, height, width, kernel, stride, padding, dilation
SHAPES = [
    (2, 3, 9, 70, (3, 3), 1, 1, 1),
    (2, 4, 40, 33, (5, 3), 2, (2, 0), 1),
    (1, 5, 13, 97, (3, 4), (1, 3), (0, 5), (2, 3)),
    (3, 2, 7, 7, (7, 7), 1, 3, 1),
    (2, 2, 6, 5, (1, 1), 2, 0, 1),
    (2, 3, 4, 66, (2, 2), (3, 1), 1, (1, 2)),
    (0, 3, 5, 5, (3, 3), 1, 1, 1),
]


def run(lib: Any, x: np.ndarray, w: np.ndarray, g: np.ndarray | None, **options: Any) -> list:
    x, w = (lib.from_numpy(a).requires_grad_() for a in (x, w))
    out = lib.nn.functional.conv2d(x, w, groups=w.shape[0], **options)
    g = lib.ones_like(out) if g is None else lib.from_numpy(g)
    return [t.detach().numpy() for t in (out, *lib.autograd.grad(out, (x, w), g))]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(shape: tuple, dtype: str) -> None:
    n, c, h, w, kernel, stride, padding, dilation = shape
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((n, c, h, w)).astype(dtype), rng.standard_normal((c, 1, *kernel)).astype(dtype)
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    g = rng.standard_normal(run(torch, x, weight, None, **options)[0].shape).astype(dtype)
    for got, want in zip(run(ft, x, weight, g, **options), run(torch, x, weight, g, **options), strict=True):
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(got, want, rtol=100 * eps, atol=200 * eps * max(1, np.abs(want).max(initial=0)))


@pytest.mark.parametrize("where", ["input", "weight", "gradient"])
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_is_not_finite_stays_where_it_belongs(where: str, value: float) -> None:
    rng = np.random.default_rng(1)
    x, w, g = (rng.standard_normal(s).astype("float32") for s in ((1, 2, 6, 40), (2, 1, 3, 3), (1, 2, 6, 40)))
    {"input": x, "weight": w, "gradient": g}[where][0, 0, 1, 1] = value
    for got, want in zip(run(ft, x, w, g, padding=1), run(torch, x, w, g, padding=1), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
