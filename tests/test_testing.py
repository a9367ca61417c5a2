"""``flowtorch.testing``: assert_close says what torch.testing.assert_close says, make_tensor keeps its bounds."""

import subprocess
import sys

import pytest
import torch
import torch.testing

import flowtorch
import flowtorch.testing

NAN = float("nan")
CASES = [
    (lambda x: (x([1.0, 2.0, 3.0]), x([1.0, 2.5, 3.0])), {}),
    (lambda x: (x(1.0), x(2.0)), {}),
    (lambda x: (1.0, 2.0), {}),
    (lambda x: (1.0, 1.0 + 1e-9), {}),
    (lambda x: (1, 2), {}),
    (lambda x: (1, 1.0), {}),
    (lambda x: (True, False), {}),
    (lambda x: (None, 1), {}),
    (lambda x: ([1, 2], [1, 3]), {}),
    (lambda x: ([1], [1, 2]), {}),
    (lambda x: ({"a": 1}, {"b": 1}), {}),
    (lambda x: ({"a": x(1.0)}, {"a": x(2.0)}), {}),
    (lambda x: ((x([1.0]),), [x([1.0])]), {}),
    (lambda x: (x([1.0]), x([1.0, 2.0])), {}),
    (lambda x: (x([1.0]), x([1])), {}),
    (lambda x: (x([1.0]), x([1])), {"check_dtype": False}),
    (lambda x: (x([1, 2]), x([1, 3])), {}),
    (lambda x: (x([1.0]), [1.0]), {}),
    (lambda x: (x([NAN]), x([NAN])), {}),
    (lambda x: (x([NAN]), x([NAN])), {"equal_nan": True}),
    (lambda x: (x([1.0]), x([1.1])), {"rtol": 1e-3}),
    (lambda x: (x([1.0]), x([1.1])), {"rtol": 1e-3, "atol": 0}),
    (lambda x: (x([1.0]), x([1.1])), {"msg": lambda text: "before\n" + text}),
    (lambda x: (x([[1.0, 2], [3, 4]]), x([[1.0, 2], [3, 4.4]])), {"rtol": 0, "atol": 0}),
    (lambda x: (x([True, False]), x([True, True])), {}),
    (lambda x: (x([1 + 1j]), x([1 + 2j])), {}),
    (lambda x: (1, x([1])), {}),
    (lambda x: ("a", "a"), {}),
]


def outcome(library, make, options):
    try:
        library.testing.assert_close(*make(library.tensor), **options)
    except Exception as error:
        return type(error).__name__, str(error).replace("flowtorch.tensor.", "torch.").replace("flowtorch", "torch")
    return "close"


@pytest.mark.parametrize("case", range(len(CASES)))
def test_assert_close_says_what_torch_says(case):
    make, options = CASES[case]
    assert outcome(flowtorch, make, options) == outcome(torch, make, options)


def test_assert_allclose():
    flowtorch.testing.assert_allclose([1.0, NAN], [1.0, NAN])
    with pytest.raises(AssertionError, match="Tensor-likes are not close"):
        flowtorch.testing.assert_allclose([1.0], [2.0])


@pytest.mark.parametrize("name", ["float32", "bfloat16", "complex64", "int64", "uint8", "bool"])
def test_make_tensor(name):
    dtype = getattr(flowtorch, name)
    t = flowtorch.testing.make_tensor(4, 5, dtype=dtype, device="cpu", noncontiguous=True)
    assert t.shape == (4, 5) and t.dtype == dtype and not t.is_contiguous()
    if name in ("float32", "int64"):
        t = flowtorch.testing.make_tensor((50,), dtype=dtype, device="cpu", low=1, high=3, exclude_zero=True)
        assert t.min() >= 1 and t.max() <= 3 and t.unique().numel() > 1


def test_make_tensor_refuses():
    with pytest.raises(ValueError, match="low"):
        flowtorch.testing.make_tensor(3, dtype=flowtorch.float32, device="cpu", low=2, high=1)
    with pytest.raises(ValueError, match="requires_grad"):
        flowtorch.testing.make_tensor(3, dtype=flowtorch.int64, device="cpu", requires_grad=True)


def test_import_does_not_load_testing():
    code = "import flowtorch, sys; assert not [m for m in sys.modules if m.startswith('flowtorch.testing')]"
    subprocess.run([sys.executable, "-c", code], check=True)
