"""``x.new(...)``, the constructor of old: a size, or data, in the dtype of ``x``."""

import pytest
import torch

import flowtorch


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
@pytest.mark.parametrize("args", [(), (2, 3), ((2, 3),), ([1, 2, 3],), ([[1, 2], [3, 4]],)])
def test_new(dtype, args):
    ours, theirs = (t.zeros(2, dtype=getattr(t, dtype)).new(*args) for t in (flowtorch, torch))
    assert tuple(ours.shape) == tuple(theirs.shape) and str(ours.dtype) == str(theirs.dtype)
    if args and isinstance(args[0], list):
        assert ours.tolist() == theirs.tolist()


def test_new_of_a_tensor():
    x = flowtorch.ones(3)
    assert x.new(flowtorch.tensor([4.0, 5.0, 6.0])).tolist() == [4, 5, 6]
