"""Control flow as functions, mapped functions and mapped files, beside torch."""

import numpy as np
import pytest
import torch

import flowtorch


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("as_tensor", [True, False])
def test_cond(flag, as_tensor):
    pred = flowtorch.tensor(flag) if as_tensor else flag
    x = flowtorch.tensor([1.0, 2.0], requires_grad=True)
    out = flowtorch.cond(pred, lambda a: a * 2, lambda a: a + 5, (x,))
    assert out.tolist() == ([2.0, 4.0] if flag else [6.0, 7.0])
    out.sum().backward()
    assert x.grad.tolist() == ([2.0, 2.0] if flag else [1.0, 1.0])
    with pytest.raises(RuntimeError, match="single-element"):
        flowtorch.cond(flowtorch.ones(2), lambda: 1, lambda: 2, ())


def test_while_loop():
    start = (flowtorch.tensor(0), flowtorch.ones(2))
    i, x = flowtorch.while_loop(lambda i, x: i < 5, lambda i, x: (i + 1, x * 2), start)
    assert (i.item(), x.tolist()) == (5, [32.0, 32.0])
    with pytest.raises(RuntimeError, match="same number"):
        flowtorch.while_loop(lambda i: i < 5, lambda i: (i, i), (flowtorch.tensor(0),))


@pytest.mark.parametrize("library", [flowtorch, torch])
def test_mapped_functions(library):
    x = library.arange(6.0).reshape(2, 3).t()
    assert x.apply_(lambda v: v * v + 1) is x
    assert x.tolist() == [[1.0, 10.0], [2.0, 17.0], [5.0, 26.0]]
    x.map_(library.tensor([[10.0, 20.0]]).expand(3, 2), lambda a, b: a - b)
    assert x.tolist() == [[-9.0, -10.0], [-8.0, -3.0], [-5.0, 6.0]]
    with pytest.raises(RuntimeError, match="requires grad"):
        library.ones(2, requires_grad=True).apply_(abs)
    with pytest.raises(TypeError):
        library.ones(2).map_(library.ones(2, dtype=library.int64), max)


@pytest.mark.parametrize("library", [flowtorch, torch])
@pytest.mark.parametrize("shared", [True, False])
def test_a_file_as_a_tensor(library, shared, tmp_path):
    path = tmp_path / "numbers"
    np.arange(6, dtype=np.float32).tofile(path)
    t = library.from_file(str(path), shared=shared, size=6)
    assert (t.dtype, t.tolist()) == (library.float32, [0, 1, 2, 3, 4, 5])
    t[0] = 9
    assert np.fromfile(path, np.float32)[0] == (9 if shared else 0)


def test_a_slice_turned_round():
    base, ours = torch.arange(6.0), flowtorch.arange(6.0)
    expected, got = torch.slice_inverse(base[1:3], base, 0, 1, 3), flowtorch.slice_inverse(ours[1:3], ours, 0, 1, 3)
    assert got.tolist() == expected.tolist()
