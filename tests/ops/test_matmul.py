"""matmul and linear of all ranks."""
from __future__ import annotations

import pytest
from against_torch import same

SETUP = """
z=torch.tensor(1.)
v3=torch.ones(3)
v4=torch.ones(4)
m23=torch.ones(2,3)
m45=torch.ones(4,5)
m34=torch.ones(3,4)
b234=torch.ones(2,3,4)
b245=torch.ones(2,4,5)
b345=torch.ones(3,4,5)
d=torch.double
"""

CASES = [
    "z@v3",
    "v3@v4",
    "m23@v4",
    "v3@m45",
    "m23@m45",
    "b234@m23",
    "m23@b245",
    "b234@b345",
    "b234@torch.ones(2, 3, 5)",
    "v3@b245",
    "b234@v3",
    "m23@m34.to(d)",
    "b234@b245.to(d)",
    "v3@v3.to(d)",
    "m23@v3.to(d)",
    "v3@m34.to(d)",
    "b234@v4.to(d)",
    "m23.long()@m34",
    "m23.bool()@m34.bool()",
    "m23.byte()@m34.byte()",
    "m23.half()@m34.half()",
    "v3.bool()@v3.bool()",
    "b234.bool()@b245.bool()",
    "m23.bool()@v3.bool()",
    "torch.chain_matmul(m23, m34, m45)",
    "torch.chain_matmul(m23)",
    "torch.nn.functional.linear(m23, m45)",
    "torch.nn.functional.linear(m23, torch.ones(4, 3))",
    "torch.nn.functional.linear(m23, torch.ones(4, 3), v3)",
    "torch.nn.functional.linear(m23, torch.ones(4, 3), v4.to(d))",
    "torch.nn.functional.linear(m23, torch.ones(4, 3, dtype=d))",
    "torch.nn.functional.linear(v3, torch.ones(4, 3))",
    "torch.nn.functional.linear(v3, v3)",
    "torch.nn.functional.linear(b234, v4)",
    "torch.nn.functional.linear(b234, torch.ones(5, 4), torch.ones(5))",
    "torch.nn.functional.linear(b234.transpose(0, 1), torch.ones(5, 4), torch.ones(5))",
    "torch.nn.functional.linear(z, m23)",
    "torch.nn.functional.linear(m23, b234)",
    "torch.nn.functional.linear(m23.long(), torch.ones(4, 3).long())",
    "torch.nn.functional.linear(v3, v3, z)",
    "torch.nn.functional.linear(m23, torch.ones(4, 3), z)",
    "torch.nn.functional.linear(m23, torch.ones(4, 3), torch.ones(2, 4))",
    "m23@3",
    "3@m23",
    'm23@np.ones((3,4),dtype="f")',
    "m23@[1]",
    "torch.matmul(m23, 3)",
    "(b234.transpose(0, 1)@m45).stride()",
    "(b234@b245.transpose(0, 0)).stride()",
    "torch.bilinear(m23, m23, b234)",
    "torch.nn.functional.bilinear(m23, torch.ones(2, 4), torch.ones(5, 3, 4))",
    "torch.nn.functional.bilinear(m23, torch.ones(2, 5), torch.ones(5, 3, 4))",
]

SAME_KIND_OF_ERROR = [
    "m23.matmul(None)",
]


@pytest.mark.parametrize("source", CASES)
def test_same(source):
    same(source, SETUP)


@pytest.mark.parametrize("source", SAME_KIND_OF_ERROR)
def test_same_kind_of_error(source):
    same(source, SETUP, message=False)
