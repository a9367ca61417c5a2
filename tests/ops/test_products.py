"""Matrix products of fixed rank, tensordot, kron, cross."""
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
    "torch.mm(m23, m34)",
    "torch.mv(m23, v3)",
    "torch.dot(v3, v3)",
    "torch.vdot(v3*1j, v3*1j)",
    "torch.dot(v3*1j, v3*1j)",
    "torch.bmm(b234, b245)",
    "torch.addmm(z, m23, m34, beta=2, alpha=3)",
    'torch.addmm(v4*float("nan"),m23,m34,beta=0)',
    "torch.addmm(v4.int(), m23.int(), m34.int(), beta=2, alpha=0.5)",
    "torch.addmm(v4, m23, m34, beta=1j)",
    "torch.addmm(v4.int(), m23.int(), m34.int(), beta=0.5, alpha=2)",
    "torch.addmv(z, m23, v3)",
    "torch.addmv(v2, m23, v3, beta=2, alpha=3)",
    "torch.addmv(torch.zeros(1), m23, v3)",
    "torch.addmv(v2, m23, v4)",
    "torch.addmv(v2, m23, v3.to(d))",
    "torch.addmv(m23, m23, v3)",
    "torch.addmv(v2.bool(), m23.bool(), v3.bool())",
    "torch.addbmm(m34[:, :1], b234, b245)",
    "torch.addbmm(z, b234, b245, beta=0)",
    "torch.addbmm(z, b234, b345)",
    "torch.addbmm(z, b234, b234)",
    "torch.addbmm(z, m23, b234)",
    "torch.addbmm(z, b234, b245.to(d))",
    "torch.addbmm(v4, b234, b245)",
    "torch.addbmm(torch.tensor(True), b234.bool(), b245.bool())",
    "torch.baddbmm(z, b234, b245, beta=0.5, alpha=2)",
    "torch.baddbmm(z.to(d), b234, b245)",
    "torch.baddbmm(z, b234, b345)",
    "torch.baddbmm(z, b234, b234)",
    "torch.baddbmm(v4, b234, b245)",
    "torch.addr(z, v3, v4)",
    "torch.addr(m34, v3, v4, beta=0)",
    "torch.addr(m34, v3, v4, alpha=2)",
    "torch.addr(m34.long(), v3.long(), v4.long(), beta=2)",
    "torch.addr(m34.long(), v3.long(), v4.long(), beta=0.5)",
    "torch.addr(m34.bool(), v3.bool(), v4.bool())",
    "torch.addr(m34.bool(), v3.bool(), v4.bool(), beta=2)",
    "torch.addr(m34, v3, m23)",
    "torch.addr(v3, v3, v4)",
    "m34.clone().addr_(v3, v4)",
    "m23.clone().addmm_(m23, torch.ones(3, 3))",
    "v2.clone().addmv_(m23, v3)",
    "m23.clone().addmm_(m23, m34)",
    "b245.clone().baddbmm_(torch.ones(2, 4, 4), b245)",
    "torch.ones(3, 5).addbmm_(b234, b245)",
    "v4.clone().addmm_(m23, m34)",
    "torch.inner(m23, m23)",
    "torch.inner(b234, v4)",
    "torch.inner(z, z)",
    "torch.inner(v3, m23)",
    "torch.inner(b234, m34)",
    "torch.outer(v3, v4)",
    "torch.ger(v3, v4)",
    "torch.outer(z, v3)",
    "torch.outer(v3*1j, v3)",
    "torch.linalg.multi_dot([m23, m34, m45])",
    "torch.linalg.multi_dot([v2, m23, m34, v4])",
    "torch.linalg.multi_dot((m23, m34, m45), out=torch.empty(2, 5))",
    "torch.linalg.multi_dot([m23, v3])",
    "torch.linalg.multi_dot([v3, v4])",
    "torch.linalg.multi_dot([m23, m34, m34])",
    "torch.linalg.multi_dot([b234, m45])",
    "torch.linalg.multi_dot([z, m45])",
    "torch.chain_matmul(m23, m34)",
    "torch.tensordot(b234, b234, dims=([0, 2], [0, 2]))",
    "torch.tensordot(b234, b234, 2)",
    "torch.tensordot(b234, m45, ([2], [0]))",
    "torch.tensordot(b234, m45, ([-1], [0]))",
    "torch.tensordot(b234, b234, 3)",
    "torch.tensordot(b234, m34, ([1, 2], [0, 1]))",
    "torch.tensordot(b234, m34, ([1, 1], [0, 1]))",
    "torch.tensordot(b234, m34, ([5], [0]))",
    "torch.tensordot(m23, m34, dims=1, out=torch.empty(2, 4))",
    "torch.tensordot(m23[:, :1], m34, 1)",
    'torch.tensordot(m23,m34,"a")',
    "torch.tensordot(m23, m34, dims=([], []))",
    "torch.tensordot(m23, m34, dims=torch.tensor(1))",
    "torch.kron(m23, m34)",
    "torch.kron(v3, m23)",
    "torch.kron(b234, m23).shape",
    "torch.kron(z, z)",
    "torch.kron(v3, v4, out=torch.empty(12))",
    "m23.kron(v2)",
    "torch.cross(m23, m23, dim=1)",
    "torch.linalg.cross(b345.movedim(0, -1), torch.ones(4, 5, 3))",
    "torch.linalg.cross(m23, torch.ones(1, 3))",
    "torch.linalg.cross(m23[:, None], m23[None])",
    "torch.cross(v3*1j, v3*2j+1, dim=0)",
    "torch.linalg.cross(v3, v3, dim=5)",
    "torch.cross(torch.ones(3, 1), torch.ones(1, 3))",
    "torch.cross(torch.ones(3, 4), torch.ones(3, 1), dim=0)",
    "torch.linalg.cross(v3.long(), v3.long())",
    "torch.cross(v3, v3, 0)",
    "torch.linalg.cross(torch.ones(3, 4), torch.ones(3, 4), dim=0)",
    "torch.cross(m23.bool(), m23.bool())",
]


@pytest.mark.parametrize("source", CASES)
def test_same(source):
    same(source, SETUP)
