"""einsum: both formats, ellipses, diagonals, broadcasting, errors."""
from __future__ import annotations

import pytest
from against_torch import same

SETUP = """
z=torch.tensor(2.)
v3=torch.arange(3.)
v4=torch.arange(4.)+1
v2=torch.arange(2.)+1
m23=torch.arange(6.).reshape(2,3)
m34=torch.arange(12.).reshape(3,4)
m45=torch.arange(20.).reshape(4,5)
b234=torch.arange(24.).reshape(2,3,4)
b245=torch.arange(40.).reshape(2,4,5)
b345=torch.ones(3,4,5)
d=torch.double
I=lambda t:t.long()
"""

CASES = [
    'torch.einsum("i,i->",v3,v3)',
    'torch.einsum("i,i",v3,v3)',
    'torch.einsum("i,j",v3,v4)',
    'torch.einsum("ij->ji",m23)',
    'torch.einsum("ii",m34[:,:3])',
    'torch.einsum("ii->i",m34[:,:3])',
    'torch.einsum("ij->",m23)',
    'torch.einsum("ij->j",m23)',
    'torch.einsum("bij,bjk->bik",b234,b245)',
    'torch.einsum("...ij,...jk->...ik",b234,b245)',
    'torch.einsum("...ij,jk->...ik",b234,m45)',
    'torch.einsum("b...,b...->...",b234,b234)',
    'torch.einsum("ij,jk,kl->il",m23,m34,m45)',
    'torch.einsum("ij,kj->ik",m23,m23)',
    'torch.einsum("ijk,k->ij",b234,v4)',
    "torch.einsum(m23, [0, 1], m34, [1, 2], [0, 2])",
    "torch.einsum(m23, [0, 1], m34, [1, 2])",
    "torch.einsum(b234, [..., 0, 1], m45, [1, 2], [..., 0, 2])",
    'torch.einsum("i j, j k -> i k",m23,m34)',
    'torch.einsum("ij,jk->ijk",m23,m34)',
    'torch.einsum("ij,ij->ij",m23,m23)',
    'torch.einsum("ij,j",m23,torch.ones(1))',
    'torch.einsum("ij,jk",m23,m45)',
    'torch.einsum("ij",m23,m23)',
    'torch.einsum("ij,jk",m23)',
    'torch.einsum("ijk",m23)',
    'torch.einsum("i",m23)',
    'torch.einsum("ij->k",m23)',
    'torch.einsum("ij->ii",m23)',
    'torch.einsum("i.j",m23)',
    'torch.einsum("i...j...",m23)',
    'torch.einsum("i1",m23)',
    'torch.einsum("ij->i->j",m23)',
    'torch.einsum("...",m23)',
    'torch.einsum("...->...",m23)',
    'torch.einsum("->",z)',
    'torch.einsum(",->",z,z)',
    'torch.einsum(",ij",z,m23)',
    'torch.einsum("ii",m23)',
    'torch.einsum("Ab,bC->AC",m23,m34)',
    'torch.einsum("ba",m23)',
    'torch.einsum("ij,jk",[m23,m34])',
    'torch.einsum("ij,jk",(m23,m34))',
    'torch.einsum("...i->...",m23)',
    'torch.einsum("i...->i",m23)',
    'torch.einsum("i...",m23)',
    'torch.einsum("ij,jk->ik",m23,m34.to(d))',
    'torch.einsum("")',
    'torch.einsum("ij")',
    'torch.einsum("aab->ab",torch.ones(2,2,3))',
    'torch.einsum("ab,ab->a",m23,m23).stride()',
    'torch.einsum("bhqd,bhkd->bhqk",torch.ones(2,2,3,4),torch.ones(2,2,5,4)).stride()',
    'torch.einsum("ij,jk->ki",m23,m34)',
    "torch.einsum(m23, [0, 60], m34, [60, 2])",
    'torch.einsum("abc,cd,efb->adef",b234,m45,torch.ones(2,2,3))',
    'torch.einsum("i,ij,j->",v2,m23,v3)',
    'torch.einsum("ij,ik->jk",m23.long(),m23.long())',
    'torch.einsum("ij,ik->jk",m23.bool(),m23.bool())',
    'torch.einsum("ij,jk->ik",m23.half(),m34.half())',
    'torch.einsum("a...b,b...c->a...c",torch.ones(2,3,4),torch.ones(4,3,5)).shape',
    'torch.einsum("...,...",v3,v3)',
    'torch.einsum("ij,ij",m23,m23)',
    'torch.einsum("i,i->i",v3,torch.ones(1))',
    'torch.einsum("bn,anm,bm->ba",m23,torch.ones(5,3,4),torch.ones(2,4))',
    'torch.einsum("ij,jk->ik",m23,3)',
    'torch.einsum("i->",torch.empty(0))',
    'torch.einsum("ij,jk->ik",torch.ones(2,0),torch.ones(0,3))',
]


@pytest.mark.parametrize("source", CASES)
def test_same(source):
    same(source, SETUP)
