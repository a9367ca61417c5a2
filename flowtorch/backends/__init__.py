"""Switches of PyTorch's backends. Programs set them; here each device has one set of kernels, which do not change."""

from __future__ import annotations

import importlib
from typing import Any

fp32_precision = "none"

_MODULES = ("cpu", "cuda", "cudnn", "cusparselt", "kleidiai", "mha", "miopen", "mkl", "mkldnn", "mps", "nnpack",
            "openmp", "opt_einsum", "quantized")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'torch.backends' has no attribute '{name}'")
