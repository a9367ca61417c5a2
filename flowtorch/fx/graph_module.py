"""``torch.fx.GraphModule`` by the module that defines it in PyTorch."""

from __future__ import annotations

from flowtorch.fx import GraphModule as GraphModule
