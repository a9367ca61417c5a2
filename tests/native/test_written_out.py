"""Kernels that write out operands which do not follow each other in memory: gradients of sums are expanded.

Run: python -m pytest tests/native/test_written_out.py   (needs a C compiler and Python's headers)
"""

import numpy as np
import pytest
from test_kernels import Declined, as_tuple, decline, numbers

MAPS = numbers(4, 6, 9, 9)
FILTERS = numbers(8, 6, 3, 3, seed=1)
ROWS = numbers(20, 30)
# kernel -> its arguments, the gradient first
BACKWARD = {
    "_softmax_backward": (ROWS, np.abs(ROWS), 1),
    "_log_softmax_backward": (ROWS, -np.abs(ROWS), 1),
    "_layer_norm_adjoint": (ROWS, ROWS, numbers(30, seed=2), 30, 1e-5, True),
}


def expanded(array):
    """Of the shape of ``array``, with its first number everywhere."""
    return np.broadcast_to(array.reshape(-1)[:1].reshape(()), array.shape)


def same(got, want):
    for ours, theirs in zip(as_tuple(got), as_tuple(want), strict=True):
        assert ours.strides == theirs.strides
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", sorted(BACKWARD))
def test_expanded_gradient(kernels, name):
    gradient, *rest = BACKWARD[name]
    kernel = kernels.kernel(name, decline)
    same(kernel(expanded(gradient), *rest), kernel(expanded(gradient).copy(), *rest))


def test_expanded_gradient_of_a_convolution(kernels):
    options = ((1, 1), (1, 1), (1, 1), 1)
    out = kernels.kernel("convolution", decline)(MAPS, FILTERS, None, *options, None)
    for name, args in (
        ("convolution_input", (FILTERS, (9, 9), *options)),
        ("convolution_weight", (MAPS, (3, 3), *options)),
    ):
        kernel = kernels.kernel(name, decline)
        same(kernel(expanded(out), *args), kernel(expanded(out).copy(), *args))


def test_layer_norm_of_rows_that_lie_apart(kernels):
    x, w = numbers(30, 20).T, numbers(30, seed=2)
    same(
        kernels.kernel("_layer_norm", decline)(x, w, w, 30, 1e-5),
        kernels.kernel("_layer_norm", decline)(x.copy(order="C"), w, w, 30, 1e-5),
    )


def test_what_is_written_to_is_not_copied(kernels):
    target = np.broadcast_to(np.zeros(5, np.float32), (3, 5))
    with pytest.raises(Declined):
        kernels.kernel("add_rows", decline)(target, np.zeros(3, np.int64), numbers(3, 5))
