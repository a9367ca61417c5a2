"""Python's ``bool``, ``int``, ``float`` and ``complex`` stand for dtypes wherever one is taken."""

import pytest
import torch

import flowtorch

TYPES = [bool, int, float, complex]
TAKING = {
    "to": lambda t, d: t.ones(3).to(d),
    "to keyword": lambda t, d: t.ones(3).to(dtype=d),
    "to device": lambda t, d: t.ones(3).to("cpu", d),
    "tensor": lambda t, d: t.tensor([1, 0], dtype=d),
    "as_tensor": lambda t, d: t.as_tensor(t.ones(2), dtype=d),
    "zeros": lambda t, d: t.zeros(2, dtype=d),
    "empty": lambda t, d: t.empty(2, dtype=d),
    "full": lambda t, d: t.full((2,), 1, dtype=d),
    "eye": lambda t, d: t.eye(2, dtype=d),
    "ones_like": lambda t, d: t.ones_like(t.ones(2), dtype=d),
    "new_zeros": lambda t, d: t.ones(2).new_zeros(3, dtype=d),
    "new_tensor": lambda t, d: t.ones(2).new_tensor([1, 0], dtype=d),
    "sum": lambda t, d: t.ones(3).sum(dtype=d),
    "prod along a dimension": lambda t, d: t.ones(2, 3).prod(1, dtype=d),
    "view": lambda t, d: t.ones(4, dtype=d).view(d),
    "empty_strided": lambda t, d: t.empty_strided((2,), (1,), dtype=d),
    "promote_types": lambda t, d: t.zeros(1, dtype=t.promote_types(d, t.float32)),
}
FLOATING = {
    "mean": lambda t, d: t.ones(3).mean(dtype=d),
    "cumsum": lambda t, d: t.ones(3).cumsum(0, dtype=d),
    "cumprod": lambda t, d: t.cumprod(t.ones(3), 0, dtype=d),
    "nansum": lambda t, d: t.nansum(t.ones(3), dtype=d),
    "softmax": lambda t, d: t.ones(3).softmax(0, dtype=d),
    "log_softmax": lambda t, d: t.nn.functional.log_softmax(t.ones(3), 0, dtype=d),
    "norm": lambda t, d: t.linalg.norm(t.ones(3), dtype=d),
    "arange": lambda t, d: t.arange(3, dtype=d),
    "rand_like": lambda t, d: t.rand_like(t.ones(2), dtype=d).round(),
    "window": lambda t, d: t.hann_window(3, dtype=d),
    "module": lambda t, d: t.nn.Linear(2, 2).to(d).weight.zero_(),
    "module keyword": lambda t, d: t.nn.Linear(2, 2).to(dtype=d).weight.zero_(),
    "layer": lambda t, d: t.nn.Linear(2, 2, dtype=d).weight.zero_(),
}


def agree(make, kind):
    mine, theirs = make(flowtorch, kind), make(torch, kind)
    assert str(mine.dtype).rpartition(".")[2] == str(theirs.dtype).rpartition(".")[2]
    return mine, theirs


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", TAKING)
def test_a_python_type_is_a_dtype(name, kind):
    mine, theirs = agree(TAKING[name], kind)
    if not name.startswith("empty"):
        assert mine.tolist() == theirs.tolist()


@pytest.mark.parametrize("name", FLOATING)
def test_float_is_a_dtype(name):
    with flowtorch.no_grad(), torch.no_grad():
        mine, theirs = agree(FLOATING[name], float)
    if name != "rand_like":
        assert torch.allclose(torch.tensor(mine.tolist(), dtype=float), theirs)


def test_limits_and_casts_take_types():
    assert flowtorch.finfo(float).bits == 64 and flowtorch.iinfo(int).max == torch.iinfo(int).max
    for a in TYPES:
        assert [flowtorch.can_cast(a, b) for b in TYPES] == [torch.can_cast(a, b) for b in TYPES]


@pytest.mark.parametrize("wrong", [str, list, flowtorch.Tensor])
def test_other_types_are_refused(wrong):
    for call in (lambda: flowtorch.zeros(2, dtype=wrong), lambda: flowtorch.ones(2).to(wrong)):
        with pytest.raises(TypeError):
            call()


def test_type_takes_no_python_type():
    with pytest.raises(ValueError, match="invalid type: 'float'"):
        flowtorch.ones(2).type(float)
    with pytest.raises(ValueError, match="invalid type: 'float'"):
        torch.ones(2).type(float)
