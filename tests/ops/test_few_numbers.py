"""Kernels that treat a handful of numbers in a way of their own, where special values and far rows leave it again."""
from __future__ import annotations

import numpy as np
import pytest
import torch

import flowtorch as ft

NAN, INF = float("nan"), float("inf")
ROWS = {
    "near": [[0.1, 0.2, 0.3], [1.0, -1.0, 0.5]],
    "far below": [[-300.0, -301.0, -302.0], [0.0, 1.0, 2.0]],
    "far above": [[300.0, 301.0, 302.0], [0.0, 1.0, 2.0]],
    "too far for double precision": [[-900.0, -901.0, 900.0], [-900.0, -901.0, -902.0]],
    "masked": [[-INF, 0.0, -INF], [-INF, 1.0, 2.0]],
    "all masked": [[-INF, -INF, -INF], [0.0, 1.0, 2.0]],
    "nan hides an overflow": [[INF, 1.0, 2.0], [NAN, 0.0, 0.0], [0.0, 1.0, 2.0]],
    "overflow before nan": [[100.0, 1.0, 2.0], [NAN, 0.0, 0.0], [0.0, 1.0, 2.0]],
    "subnormal": [[1e-42, 0.0, -1e-42], [1e-45, 1e-45, -0.0]],
}


def pair(rows: list, dtype: str = "float32") -> tuple:
    """The same leaf in both libraries."""
    return tuple(m.tensor(rows, dtype=getattr(m, dtype), requires_grad=True) for m in (ft, torch))


def same(ours: object, theirs: torch.Tensor, dtype: str = "float32") -> None:
    """Equal to a few units in the last place, with the same dtype."""
    assert str(ours.dtype) == str(theirs.dtype)                         # type: ignore[attr-defined]
    unit = np.finfo(dtype).eps
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), 8 * unit, 8 * unit)   # type: ignore[attr-defined]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ROWS)
def test_softmax_and_cross_entropy_of_special_rows(name: str, dtype: str) -> None:
    x, y = pair(ROWS[name], dtype)
    target = [k % 3 for k in range(len(ROWS[name]))]
    weight = np.linspace(0.5, 1.5, x.numel()).reshape(tuple(x.shape)).astype(dtype)
    for dim in (-1, 1):
        (p, q) = ft.softmax(x, dim), torch.softmax(y, dim)
        same(p, q, dtype)
        same(ft.autograd.grad((p * ft.from_numpy(weight)).sum(), x)[0],
             torch.autograd.grad((q * torch.from_numpy(weight)).sum(), y)[0], dtype)
    for reduction in ("mean", "sum", "none"):
        a = ft.nn.functional.cross_entropy(x, ft.tensor(target), reduction=reduction)
        b = torch.nn.functional.cross_entropy(y, torch.tensor(target), reduction=reduction)
        same(a, b, dtype)
        same(ft.autograd.grad(a.sum(), x)[0], torch.autograd.grad(b.sum(), y)[0], dtype)


@pytest.mark.parametrize("columns", [1, 2, 16, 17, 40])
def test_rows_of_any_length_near_the_bounds(columns: int) -> None:
    rows = np.random.default_rng(columns).standard_normal((9, columns)).astype(np.float32).tolist()
    x, y = pair(rows)
    same(ft.softmax(x, 1), torch.softmax(y, 1))
    target = [k % columns for k in range(9)]
    same(ft.nn.functional.cross_entropy(x, ft.tensor(target)),
         torch.nn.functional.cross_entropy(y, torch.tensor(target)))
    if columns > 1:
        same(ft.nn.functional.layer_norm(x, (columns,)), torch.nn.functional.layer_norm(y, (columns,)))


@pytest.mark.parametrize("bad", [-1, 3])
def test_a_target_that_is_no_class_is_refused(bad: int) -> None:
    with pytest.raises(IndexError, match=f"Target {bad} is out of bounds"):
        ft.nn.functional.cross_entropy(ft.zeros(2, 3), ft.tensor([0, bad]))


@pytest.mark.parametrize("values", [[1.0, 5.0, 2.0], [NAN, 1.0], [1.0, NAN, INF], [-INF, -INF], [-0.0],
                                    [2 ** 60 + 1, 3]])
def test_the_largest_and_the_smallest_of_few(values: list) -> None:
    for name in ("max", "min", "amax", "amin"):
        a, b = getattr(ft.tensor(values), name)(), getattr(torch.tensor(values), name)()
        assert str(a.dtype) == str(b.dtype) and a.shape == b.shape
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    a = ft.tensor([[3, 1], [2, 7]]).t()
    assert a.max().item() == 7 and a.amin().item() == 1


@pytest.mark.parametrize("name", ["zeros", "ones", "empty"])
def test_factories_take_sizes_in_every_form(name: str) -> None:
    for sizes in ((2, 3), ((2, 3),), ([2, 3],), (0,), ((),)):
        a, b = getattr(ft, name)(*sizes), getattr(torch, name)(*sizes)
        assert tuple(a.shape) == tuple(b.shape) and str(a.dtype) == str(b.dtype)
    with pytest.raises(RuntimeError, match="negative"):
        getattr(ft, name)(2, -3)
    with pytest.raises(TypeError):
        getattr(ft, name)(2, 3.0)


def test_shapes_are_sizes_of_plain_ints() -> None:
    x = ft.zeros(2, 3)
    assert type(x.shape) is ft.Size and x.shape == (2, 3) and x.shape[1:] == ft.Size([3])
    x.resize_(4, 5)
    assert x.shape == (4, 5)


@pytest.mark.parametrize("shape", [(3,), (20, 30), (100, 300)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relu_lets_through_what_torch_does(shape: tuple, dtype: str) -> None:
    numbers = np.random.default_rng(7)
    values, weight = numbers.standard_normal(shape).astype(dtype), numbers.standard_normal(shape).astype(dtype)
    values.flat[:3], weight.flat[:3] = (NAN, 1.0, -1.0), (2.0, NAN, INF)
    grads = []
    for module in (ft, torch):
        x = module.from_numpy(values.copy()).requires_grad_()
        module.relu(x).backward(module.from_numpy(weight))
        grads.append(x.grad.numpy())
    np.testing.assert_array_equal(*grads)
    np.testing.assert_array_equal(*map(np.signbit, grads))


@pytest.mark.parametrize("n", [3, 5, 7, 15])
def test_a_mean_that_is_a_number_is_subtracted_exactly(n: int) -> None:
    rows = ft.arange(n, dtype=ft.float32).repeat(4, 1)
    assert ft.nn.functional.layer_norm(rows, (n,))[:, n // 2].tolist() == [0.0] * 4
