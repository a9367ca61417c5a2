"""Questions about the compiler that libraries ask through ``torch._dynamo.utils``."""

from __future__ import annotations

from typing import Any

from flowtorch._dynamo.eval_frame import is_dynamo_supported


def is_compile_supported(device_type: Any) -> bool:
    """Whether functions can be compiled for a device: no."""
    return is_dynamo_supported()


def __getattr__(name: str) -> Any:
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)
