"""cat, stack and the composites around them."""
from __future__ import annotations

import pytest
from against_torch import same

SETUP = """
z=torch.tensor(1.)
v3=torch.ones(3)
e=torch.zeros(0)
m=torch.ones(2,3)
d=torch.double
b=torch.ones(2,3,4,5).to(memory_format=torch.channels_last)
"""

CASES = [
    "torch.cat([v3, v3])",
    "torch.cat([v3, e])",
    "torch.cat([m, e])",
    "torch.cat([m, m], 1)",
    "torch.cat([m, v3])",
    "torch.cat([m, m], -1)",
    "torch.cat([m, m], 2)",
    "torch.cat([z, z])",
    "torch.cat([])",
    "torch.cat([v3, v3.to(d)])",
    "torch.cat([v3.int(), v3])",
    "torch.cat([v3.int(), z.view(1)])",
    "torch.cat((m, torch.ones(2, 4)))",
    "torch.cat((m, torch.ones(2, 4)), 1)",
    "torch.cat(v3)",
    "torch.cat([v3, 3])",
    "torch.cat([m.t(), m.t()])",
    "torch.cat([b, b])",
    "torch.cat([b, b], 1)",
    "torch.cat([b, b.contiguous()], 1)",
    "torch.cat([torch.zeros(0, 3), m])",
    "torch.cat([torch.zeros(2, 0), m], 1)",
    "torch.cat([torch.zeros(2, 0), m], 0)",
    "torch.cat([e, e])",
    "torch.stack([v3, v3])",
    "torch.stack([v3, v3], -1)",
    "torch.stack([v3, v3], 2)",
    "torch.stack([v3, torch.ones(4)])",
    "torch.stack([])",
    "torch.stack([z, z])",
    "torch.stack([v3, v3.to(d)])",
    "torch.stack(v3)",
    "torch.stack([v3, 3])",
    "torch.stack([m.t(), m.t()], 0)",
    "torch.hstack([v3, v3])",
    "torch.hstack([z, z])",
    "torch.hstack([m, m])",
    "torch.vstack([v3, m])",
    "torch.vstack([z, z])",
    "torch.dstack([v3, v3])",
    "torch.dstack([m, m])",
    "torch.column_stack([v3, torch.ones(3, 2)])",
    "torch.column_stack([z, z])",
    "torch.row_stack([v3, m])",
    "torch.hstack([])",
    "torch.concat([v3, v3], axis=0)",
    "torch.concatenate([v3, v3], dim=0)",
    "torch.cat(tensors=[v3, v3], dim=0)",
    "torch.cat([v3, v3], dim=0, out=torch.empty(6))",
    "torch.cat([v3, v3], dim=0, out=torch.empty(6, dtype=torch.int))",
    "torch.cat([v3.half(), v3.bfloat16()])",
    "torch.cat([v3.bool(), v3.to(torch.uint8)])",
]


@pytest.mark.parametrize("source", CASES)
def test_same(source):
    same(source, SETUP)
