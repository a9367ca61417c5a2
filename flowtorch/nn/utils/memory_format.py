"""The memory format of the weights of convolutions."""

from __future__ import annotations

from typing import Any

from .. import modules

__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]


def convert_conv2d_weight_memory_format(module: Any, memory_format: Any) -> Any:
    """Put the weights of all 2-d convolutions in ``module`` into ``memory_format``."""
    return _convert(module, memory_format, (modules.Conv2d, modules.ConvTranspose2d))  # type: ignore[attr-defined]


def convert_conv3d_weight_memory_format(module: Any, memory_format: Any) -> Any:
    """Put the weights of all 3-d convolutions in ``module`` into ``memory_format``."""
    return _convert(module, memory_format, (modules.Conv3d, modules.ConvTranspose3d))  # type: ignore[attr-defined]


def _convert(module: Any, memory_format: Any, kinds: tuple[type, ...]) -> Any:
    for layer in module.modules():
        if isinstance(layer, kinds):
            weight = layer.weight  # type: ignore[attr-defined]
            weight.data = weight.detach().clone(memory_format=memory_format)
    return module
