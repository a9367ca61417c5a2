"""``torch.fx.Proxy`` by the module that defines it in PyTorch."""

from __future__ import annotations

from flowtorch.fx import Proxy as Proxy
