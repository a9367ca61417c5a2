"""Sobol' sequences are PyTorch's, point by point."""

import numpy as np
import pytest
import torch

import flowtorch

CASES = [(1, {}), (6, {}), (300, {}), (5, {"scramble": True, "seed": 3}), (40, {"scramble": True, "seed": 0})]


@pytest.mark.parametrize(("dimension", "options"), CASES)
def test_points_are_the_same(dimension, options):
    ours, theirs = (t.quasirandom.SobolEngine(dimension, **options) for t in (flowtorch, torch))
    for n in (1, 2, 7, 1, 22):
        a, b = ours.draw(n), theirs.draw(n)
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    ours.fast_forward(37)
    theirs.fast_forward(37)
    np.testing.assert_array_equal(ours.draw(3, dtype=flowtorch.float64).numpy(), theirs.draw(3, dtype=torch.float64))
    np.testing.assert_array_equal(ours.reset().draw(4).numpy(), theirs.reset().draw(4).numpy())
    assert repr(ours) == repr(theirs)
    assert ours.num_generated == theirs.num_generated == 4


def test_forward_from_the_start_and_out():
    ours, theirs = (t.quasirandom.SobolEngine(3).fast_forward(5) for t in (flowtorch, torch))
    out = flowtorch.empty(0)
    assert ours.draw(2, out=out) is out
    np.testing.assert_array_equal(out.numpy(), theirs.draw(2).numpy())


def test_without_a_seed_the_global_generator_scrambles():
    flowtorch.manual_seed(5)
    torch.manual_seed(5)
    a, b = (t.quasirandom.SobolEngine(4, scramble=True).draw_base2(3) for t in (flowtorch, torch))
    np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_refusals():
    for t in (flowtorch, torch):
        with pytest.raises(ValueError, match="dimensionality"):
            t.quasirandom.SobolEngine(21202)
        engine = t.quasirandom.SobolEngine(2)
        engine.draw(3)
        with pytest.raises(ValueError, match="power of 2"):
            engine.draw_base2(2)
