"""Extreme eigenpairs: PyTorch's values, vectors that solve the equation, gradients, refusals."""

import numpy as np
import pytest
import torch

import flowtorch


def matrix(n, seed=0):
    a = np.random.default_rng(seed).standard_normal((n, n))
    return a @ a.T + 0.1 * np.eye(n)


@pytest.mark.parametrize(
    "options", [{}, {"largest": False}, {"B": matrix(40, 2)}, {"X": matrix(40, 3)[:, :3]}, {"n": 5}]
)
def test_eigenpairs(options):
    a, k = matrix(40), 3
    made = [{n: t.from_numpy(v.copy()) if isinstance(v, np.ndarray) else v for n, v in options.items()}
            for t in (flowtorch, torch)]
    values, vectors = flowtorch.lobpcg(flowtorch.from_numpy(a), k, **made[0])
    np.testing.assert_allclose(values.numpy(), torch.lobpcg(torch.from_numpy(a), k, **made[1])[0], rtol=1e-6)
    b = options.get("B", np.eye(40))
    v = vectors.numpy()
    assert v.shape == (40, k)
    np.testing.assert_allclose(a @ v, b @ v * values.numpy(), atol=1e-4 * np.abs(a).max())
    np.testing.assert_allclose(v.T @ b @ v, np.eye(k), atol=1e-8)


def test_batches_and_gradients():
    a = np.stack([matrix(12), matrix(12, 1)])
    got = flowtorch.lobpcg(flowtorch.from_numpy(a), 2)[0].numpy()
    np.testing.assert_allclose(got, np.linalg.eigvalsh(a)[:, :-3:-1], rtol=1e-6)
    x = flowtorch.from_numpy(a[0]).requires_grad_()
    flowtorch.lobpcg(x, 2)[0].sum().backward()
    v = np.linalg.eigh(a[0])[1][:, -2:]
    np.testing.assert_allclose(x.grad.numpy(), v @ v.T, atol=1e-8)


def test_refusals():
    for t in (flowtorch, torch):
        with pytest.raises(ValueError, match="smaller than 3 x"):
            t.lobpcg(t.eye(5), 2)
        with pytest.raises(AssertionError, match="must be square"):
            t.lobpcg(t.ones(6, 5), 1)
