"""masked_fill, masked_select, masked_scatter, nonzero and where."""
from __future__ import annotations

import pytest
from against_torch import same
from operands import INDEXED as SETUP

CASES = [
    "m.masked_select(mk)",
    "m.masked_select(mk[0])",
    "m.masked_select(m)",
    "m.masked_select(mk.byte())",
    "m.masked_select(torch.ones(4)>0)",
    "z.masked_select(z>0)",
    "m.masked_fill(mk, 1.5)",
    "m.masked_fill(mk[:, :1], 9)",
    "m.masked_fill(m, 1)",
    "m.masked_fill(mk.byte(), 1)",
    "m.masked_fill(mk, v)",
    "m.masked_fill(mk, z)",
    "m.masked_fill(mk, z.to(d)*0.1)",
    "im.masked_fill(mk, 1.5)",
    "im.masked_fill(mk, z)",
    "m.masked_fill(mk, 1j)",
    "m.masked_fill(torch.ones(4)>0, 1)",
    "v.masked_fill(mk, 1)",
    "v.clone().masked_fill_(mk, 1)",
    "m.masked_fill(mk, True)",
    "m.byte().masked_fill(mk, 300)",
    "m.masked_fill(mask=mk, value=2)",
    "m.half().masked_fill(mk, 1e9)",
    "m.masked_fill(mk, torch.tensor([1.]))",
    "m.masked_scatter(mk, v)",
    "m.masked_scatter(mk, v[:2])",
    "m.masked_scatter(mk[0], v)",
    "m.masked_scatter(m, v)",
    "m.masked_scatter(mk.byte(), v)",
    "m.masked_scatter(mk, v.to(d))",
    "m.masked_scatter(torch.ones(4)>0, v)",
    "v.masked_scatter(mk, m)",
    "m.nonzero()",
    "m.nonzero(as_tuple=True)",
    "z.nonzero()",
    "z.nonzero(as_tuple=True)",
    "torch.tensor(0.).nonzero()",
    "torch.nonzero(m).stride()",
    "torch.argwhere(m)",
    "torch.argwhere(z)",
    "torch.empty(0, 3).nonzero()",
    "torch.nonzero(m, as_tuple=False).shape",
    "torch.tensor([1j, 0]).nonzero()",
    "torch.where(mk, m, z)",
    "torch.where(mk, m, 1)",
    "torch.where(mk, 1, 2)",
    "torch.where(mk, 1., 2)",
    "torch.where(mk, 1., True)",
    "torch.where(mk, m.int(), 1.5)",
    "torch.where(mk, m.int(), m.double())",
    "torch.where(mk, m.half(), torch.tensor(1.))",
    "torch.where(m, m, m)",
    "torch.where(m.byte(), m, m)",
    "torch.where(mk)",
    "torch.where(z>0)",
    "torch.where(mk, v3, torch.ones(4))",
    "m.where(mk, 0)",
    "m.where(mk, m)",
    "torch.where(v3>0, m, m)",
    "torch.where(mk, 1j, m)",
    "torch.where(mk, 3, m.byte())",
    "torch.where(condition=mk, input=m, other=m)",
    "torch.where(z>0, 1, 2)",
    "torch.where(m.int()>0, m, m, out=torch.empty(2, 3))",
    "torch.where(m.t()>0, m.t(), m.t()).stride()",
]

SAME_KIND_OF_ERROR = [
    'm.masked_fill(mk,"a")',
    "torch.where(mk, m)",
    "m.where(mk)",
    "torch.where(3, m, m)",
    "torch.where(True, m, m)",
    "torch.where(mk, m, None)",
    "torch.where(mk, x=m, y=m)",
]


@pytest.mark.parametrize("source", CASES)
def test_same(source):
    same(source, SETUP)


@pytest.mark.parametrize("source", SAME_KIND_OF_ERROR)
def test_same_kind_of_error(source):
    same(source, SETUP, message=False)
