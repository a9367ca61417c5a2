"""Versions: ``__version__`` is the PyTorch that is followed with flowtorch's own version as its local part."""

from __future__ import annotations

from flowtorch.torch_version import TorchVersion

flowtorch = "0.1.0"
pytorch = "2.13.0"
__version__ = TorchVersion(f"{pytorch}+flowtorch.{flowtorch}")

debug = False
git_version = "Unknown"
cuda: str | None = None
hip: str | None = None
rocm: str | None = None
xpu: str | None = None
