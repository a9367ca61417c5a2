"""``torch.fx.Node`` by the module that defines it in PyTorch."""

from __future__ import annotations

from flowtorch.fx import Node as Node
from flowtorch.fx import has_side_effect as has_side_effect
