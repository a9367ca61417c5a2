"""Options of matrix products and attention on CUDA devices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from flowtorch import backends, settings
from flowtorch.nn.attention import SDPBackend, _cur_sdpa_kernel_backends, _enabled

__all__ = [
    "SDPBackend",
    "cudnn_sdp_enabled",
    "enable_cudnn_sdp",
    "enable_flash_sdp",
    "enable_math_sdp",
    "enable_mem_efficient_sdp",
    "flash_sdp_enabled",
    "is_built",
    "is_flash_attention_available",
    "math_sdp_enabled",
    "matmul",
    "mem_efficient_sdp_enabled",
    "preferred_blas_library",
    "preferred_linalg_library",
    "sdp_kernel",
]


class _Matmul:
    """Flags of matrix products; of them those about TensorFloat-32 have an effect, on products of float32."""

    allow_fp16_reduced_precision_reduction = True
    allow_bf16_reduced_precision_reduction = True
    allow_fp16_accumulation = False

    @property
    def allow_tf32(self) -> bool:
        """Whether factors may be rounded to TensorFloat-32: as ``torch.set_float32_matmul_precision`` says, too."""
        return self.fp32_precision == "tf32"

    @allow_tf32.setter
    def allow_tf32(self, allowed: bool) -> None:
        settings.set_float32_matmul_precision("high" if allowed else "highest")

    @property
    def fp32_precision(self) -> str:
        """"tf32", "ieee", or "none" where neither this nor ``torch.backends.fp32_precision`` was set."""
        own = settings.product_precision()
        return backends.fp32_precision if own == "none" else own

    @fp32_precision.setter
    def fp32_precision(self, precision: str) -> None:
        settings.set_product_precision(precision)


matmul = _Matmul()


def is_built() -> bool:
    """Whether CUDA is compiled in: kernels are compiled on first use instead."""
    return False


def preferred_linalg_library(backend: Any = None) -> str:
    """The library of linear algebra; there is one."""
    return "default"


def preferred_blas_library(backend: Any = None) -> str:
    """The library of matrix products; there is one."""
    return "default"


def _allowed(kind: SDPBackend) -> bool:
    return kind in _cur_sdpa_kernel_backends()


def _allow(kind: SDPBackend, enabled: bool) -> None:
    if enabled and kind not in _enabled:
        _enabled.append(kind)
    elif not enabled and kind in _enabled:
        _enabled.remove(kind)


def flash_sdp_enabled() -> bool:
    """Whether flash attention is allowed."""
    return _allowed(SDPBackend.FLASH_ATTENTION)


def enable_flash_sdp(enabled: bool) -> None:
    """Allow flash attention or not."""
    _allow(SDPBackend.FLASH_ATTENTION, enabled)


def mem_efficient_sdp_enabled() -> bool:
    """Whether memory-efficient attention is allowed."""
    return _allowed(SDPBackend.EFFICIENT_ATTENTION)


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Allow memory-efficient attention or not."""
    _allow(SDPBackend.EFFICIENT_ATTENTION, enabled)


def math_sdp_enabled() -> bool:
    """Whether attention made of single ops is allowed."""
    return _allowed(SDPBackend.MATH)


def enable_math_sdp(enabled: bool) -> None:
    """Allow attention made of single ops or not."""
    _allow(SDPBackend.MATH, enabled)


def cudnn_sdp_enabled() -> bool:
    """Whether cuDNN's attention is allowed."""
    return _allowed(SDPBackend.CUDNN_ATTENTION)


def enable_cudnn_sdp(enabled: bool) -> None:
    """Allow cuDNN's attention or not."""
    _allow(SDPBackend.CUDNN_ATTENTION, enabled)


def is_flash_attention_available() -> bool:
    """Whether the flash attention library is there."""
    return False


@contextlib.contextmanager
def sdp_kernel(
    enable_flash: bool = True,
    enable_math: bool = True,
    enable_mem_efficient: bool = True,
    enable_cudnn: bool = True,
) -> Iterator[dict[Any, Any]]:
    """The former way to say which kinds of attention kernels are allowed."""
    former = list(_enabled)
    enable_flash_sdp(enable_flash)
    enable_math_sdp(enable_math)
    enable_mem_efficient_sdp(enable_mem_efficient)
    enable_cudnn_sdp(enable_cudnn)
    try:
        yield {}
    finally:
        _enabled[:] = former
