"""``import torch`` resolving to flowtorch: for a program, a notebook or a ``with`` block."""

from flowtorch.shim.finder import VERSION, as_torch, install, uninstall

__all__ = ["VERSION", "as_torch", "install", "uninstall"]
