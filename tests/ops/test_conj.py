"""is_conj() says what it says in PyTorch, though conjugates are computed at once."""

import gc

import pytest
import torch

import flowtorch

USES = {
    "itself": lambda y: y,
    "element": lambda y: y[0],
    "reshaped": lambda y: y.view(4),
    "transposed": lambda y: y.t(),
    "contiguous": lambda y: y.contiguous(),
    "twice": lambda y: y.conj(),
    "copy": lambda y: y.clone(),
    "product": lambda y: y * 1,
    "resolved": lambda y: y.resolve_conj(),
    "real part": lambda y: y.real,
    "with a dimension more": lambda y: y.unsqueeze(0),
    "adjoint": lambda y: y.mH,
    "physical": lambda y: y.conj_physical(),
}


@pytest.mark.parametrize("name", USES)
def test_is_conj(name):
    found = []
    for T in (torch, flowtorch):
        y = T.tensor([[1 + 2j, 3 - 4j], [0.5j, -1]]).conj()
        out = USES[name](y)
        found.append((out.is_conj(), out.resolve_conj().tolist()))
    assert found[0] == found[1]


def test_other_tensors_are_not():
    x = flowtorch.ones(2)
    assert x.conj() is x and not x.is_conj() and x.resolve_conj() is x
    z = flowtorch.ones(2, dtype=flowtorch.complex64)
    assert not z.is_conj() and z.resolve_conj() is z
    y = z.conj()
    assert flowtorch.is_conj(y) and y.resolve_conj() is not y


def test_nothing_is_kept_of_tensors_that_are_gone():
    from importlib import import_module

    noted = import_module("flowtorch.tensor")._conjugated
    y = flowtorch.ones(2, dtype=flowtorch.complex64).conj()
    assert id(y) in noted
    key = id(y)
    del y
    gc.collect()
    assert key not in noted


def test_gradients_flow_through():
    x = flowtorch.tensor([1 + 2j, 3 - 4j], requires_grad=True)
    y = torch.tensor([1 + 2j, 3 - 4j], requires_grad=True)
    for t in (x, y):
        (t.conj().resolve_conj() * t * t).sum().abs().backward()
    assert torch.allclose(torch.tensor(x.grad.tolist()), y.grad)
