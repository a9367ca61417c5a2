"""Every public function with samples on arrays that numpy may not touch, beside the same call on the CPU.

Whatever reaches numpy with a device array would fail, or wait for the device, on a GPU: here it fails (fake_cupy.py).
Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_strict.py
"""

import itertools
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import flowtorch as ft
from flowtorch.testing import samples

sys.path.insert(0, str(Path(__file__).parent))
import fake_cupy

SPECS = samples.load()
LEAVES = {"Tensor.cpu", "Tensor.is_shared", "get_device"}
"""Functions whose result is another one on a device."""
WITHOUT_KERNEL = {
    "geqrf", "linalg.ldl_factor", "linalg.ldl_factor_ex", "linalg.ldl_solve", "segment_reduce", "hash_tensor",
}  # fmt: skip
UNLIKE = {"linalg.lstsq", "Tensor.chalf"}
"""On a device least squares have one driver, which always computes the residuals; there are no half complex numbers."""


@pytest.fixture(autouse=True)
def device_arrays(monkeypatch):
    if os.environ.get("FLOWTORCH_TEST_GPU") != "1":
        fake_cupy.install(monkeypatch.setattr)


def tensors(value):
    """All tensors in nested results."""
    if isinstance(value, ft.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [t for item in items for t in tensors(item)]


def outcome(function, sample, with_gradients):
    """The results of a call and the gradients of its arguments."""
    ft.manual_seed(0)
    args, kwargs = sample.build(ft, with_gradients)
    results = tensors(function(*args, **kwargs))
    wanted = [t for t in results if t.requires_grad]
    if not (with_gradients and wanted):
        return results, []
    sum((ft.view_as_real(t) if t.is_complex() else t).double().sum() for t in wanted).backward()
    return results, [t.grad for t in tensors([args, kwargs]) if t.is_leaf and t.grad is not None]


def calls(spec):
    """Two samples of a floating dtype and one of integers, as (sample, whether gradients are compared)."""
    for dtype, count in (("float32", 2), ("int64", 1)):
        if dtype in spec.dtypes:
            for sample in itertools.islice((s for s in spec.samples(dtype) if s.arrays()), count):
                yield sample, dtype == "float32" and spec.gradient and not spec.random


def works(function, sample, gradients):
    try:
        return outcome(function, sample, gradients)
    except Exception:  # not all functions take all dtypes
        return None


@pytest.mark.parametrize("name", sorted(set(SPECS) - LEAVES - WITHOUT_KERNEL - UNLIKE))
def test_a_function_never_hands_device_memory_to_numpy(name):
    spec, function = SPECS[name], samples.find(ft, name)
    for sample, gradients in calls(spec):
        expected = works(function, sample, gradients)
        if expected is None:
            continue
        there = sample.map_arrays(lambda array: array.with_(device="cuda"))
        found = outcome(function, there, gradients)
        assert list(map(len, found)) == list(map(len, expected))
        for left, right in zip(*(results + grads for results, grads in (found, expected)), strict=True):
            assert left.device.type == "cuda" and left.dtype is right.dtype and left.shape == right.shape
            if not (spec.random or spec.undefined):
                low = right.dtype in (ft.float16, ft.bfloat16)
                values = [t.detach().cpu().to(ft.complex128).numpy() for t in (left, right)]
                np.testing.assert_allclose(*values, rtol=2e-2 if low else 2e-4, atol=2e-2 if low else 2e-4)
