"""Batches of products that threads share are those that numpy makes.

Run: python -m pytest tests/native/test_batches.py   (needs a C compiler and Python's headers)
"""

import numpy as np
import pytest


def declined(*args):
    return "numpy"


@pytest.fixture
def product(kernels):
    before = kernels.threads()
    kernels.threads(3)
    yield kernels.kernel("product_of_batches", declined)
    kernels.threads(before)


def numbers(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape, dtype=np.float32)


FACTORS = {
    "plain": (numbers(60, 40, 50), numbers(60, 50, 30)),
    "first turned": (numbers(60, 50, 40).transpose(0, 2, 1), numbers(60, 50, 30)),
    "second turned": (numbers(60, 40, 50), numbers(60, 30, 50).transpose(0, 2, 1)),
    "both turned": (numbers(60, 50, 40).transpose(0, 2, 1), numbers(60, 30, 50).transpose(0, 2, 1)),
    "heads": (numbers(5, 40, 12, 50).transpose(0, 2, 1, 3), numbers(5, 50, 12, 30).transpose(0, 2, 1, 3)),
    "one for all": (numbers(60, 40, 50), np.broadcast_to(numbers(50, 30), (60, 50, 30))),
    "parts": (numbers(60, 80, 70)[:, ::2, 10:60], numbers(60, 50, 90)[:, :, 30:60]),
    "one row": (numbers(600, 1, 80), numbers(600, 80, 50)),
}


@pytest.mark.parametrize("case", FACTORS)
def test_products(product, case):
    a, b = FACTORS[case]
    got = product(a, b)
    assert got.flags.c_contiguous
    error = np.abs(got - a.astype(np.float64) @ b)
    assert (error <= 5e-7 * (np.abs(a) @ np.abs(b))).all()  # eight units of the sum of magnitudes


def test_other_calls_are_left_to_numpy(product, kernels):
    a, b = FACTORS["plain"]
    assert product(a[:3], b[:3]) == product(a.astype(np.float64), b.astype(np.float64)) == "numpy"
    assert product(a, b[:1]) == product(a[:, :, ::2], b[:, ::2]) == product(a[:, :, :0], b[:, :0]) == "numpy"
    kernels.threads(1)
    assert product(a, b) == "numpy"
