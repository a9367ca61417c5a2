"""The former names of mixed precision on one kind of device: ``torch.amp`` with ``"cpu"`` filled in."""

from __future__ import annotations

import warnings
from typing import Any

from flowtorch import amp, dtypes

__all__ = ["GradScaler", "autocast"]


def _deprecated(name: str, form: str, level: int = 3) -> None:
    warnings.warn(
        f"`torch.cpu.amp.{name}(args...)` is deprecated. Please use `torch.amp.{name}({form})` instead.",
        FutureWarning,
        stacklevel=level,
    )


class autocast(amp.autocast):
    """``torch.amp.autocast("cpu", ...)``."""

    def __init__(self, enabled: bool = True, dtype: Any = dtypes.bfloat16, cache_enabled: bool = True) -> None:
        _deprecated("autocast", "'cpu', args...")
        super().__init__("cpu", enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)


class GradScaler(amp.GradScaler):
    """``torch.amp.GradScaler("cpu", ...)``."""

    def __init__(
        self, init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
        growth_interval: int = 2000, enabled: bool = True,
    ) -> None:  # fmt: skip
        _deprecated("GradScaler", "'cpu', args...")
        super().__init__("cpu", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
